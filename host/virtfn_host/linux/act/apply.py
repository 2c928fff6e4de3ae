"""apply(plan, machine) -> Report: carries out the steps of a plan, each under the safety law, whatever the plan says.

The law: what a step expects is read again before the step; a function in use is refused; every call that may block has
a deadline. The first failure stops the steps of its PF, and other PFs go on. A refused link setting stops nothing. A
blocked write ends the plan. Nothing here decides what should be. The package docstring (`linux/act/__init__.py`) has
the whole theory.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from typing import assert_never

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Stuck
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import REPEATED, Outcome, Report, StepResult, ended, not_tried, shortened
from virtfn_host.core.values.steps import (
    Forget,
    LoadModule,
    NoteClaims,
    PfPlan,
    Plan,
    Probe,
    SetAutoprobe,
    SetMtu,
    SetNumVfs,
    Settle,
    Unbind,
    describe,
    holds_up_others,
    patience,
    pf_of,
)
from virtfn_host.linux.act.claimed import expect_seen
from virtfn_host.linux.act.expect import expect
from virtfn_host.linux.act.journal import has_links
from virtfn_host.linux.act.machine import Machine, PfApply, address_of, look_at, remember
from virtfn_host.linux.act.made import expect_kernels_own, expect_made, expect_none_left, settled
from virtfn_host.linux.act.mtu_steps import set_mtu
from virtfn_host.linux.act.portions import Alone, Links, Portion, portions_of, set_links, together
from virtfn_host.linux.act.told import told
from virtfn_host.linux.errors import BindFailedError, DriverNotThereError, HostError, SysfsWriteError
from virtfn_host.linux.look.identity import card_of
from virtfn_host.linux.look.inventory import registered_drivers
from virtfn_host.linux.use.lock import held


def apply(
    plan: Plan,
    machine: Machine,
    on_result: Callable[[StepResult], None] = lambda _: None,
    stopping: Callable[[], bool] = lambda: False,
    blocked: Callable[[], Stuck | None] = lambda: None,
    unwanted: Callable[[], bool] = lambda: False,
) -> Report:
    """Carry out a plan.

    Args:
        on_result: hears of each step as it ends.
        stopping: whether this process is ending; asked before each portion of steps.
        blocked: another program's blocked write, which ends the plan, too. Asked before each further PF, because its
            VFs may be half taken away, and before each number of VFs, because that write would queue and be executed
            at an unknown later time. For the first PF the caller has asked.
        unwanted: whether the client has gone and another plan waits. Asked before each PF and during mere waiting:
            then the waiting ends and no other PF is begun.
    """
    failed: dict[PciAddress, StepResult] = {}
    results: list[StepResult] = []
    stuck: Stuck | None = None
    begun: PciAddress | None = None
    given_up = False
    work: PfApply | None = None
    first = 0
    """Number of the first result of the present PF."""
    for (pf, kind), alike in groupby(plan.steps, key=lambda step: (pf_of(step), type(step))):
        if pf != begun or work is None:
            _end(work, results[first:])
            work, first = PfApply(machine, plan.pf(pf) or PfPlan(pf=pf, steps=()), unwanted), len(results)
            given_up = given_up or unwanted()
        if results and not given_up and (pf != begun or kind is SetNumVfs):
            stuck = stuck or machine.writer.stuck() or blocked()
        begun = pf
        portions = portions_of(list(alike))
        for number, portion in enumerate(portions):
            following = portions[number + 1] if number + 1 < len(portions) else None
            # This stops also steps that do not use the writer (modules, link settings), and to the end of the plan even
            # if the write returns before: the later steps were planned on what is skipped now.
            stuck = stuck or machine.writer.stuck()
            not_now = _not_now(failed.get(pf), stuck, stopping, given_up)
            for result in _results(portion, following, work, not_now):
                if result.outcome is Outcome.FAILED and holds_up_others(result.step):
                    failed.setdefault(pf, result)
                results.append(result)
                on_result(result)
    _end(work, results[first:])
    return Report(results=tuple(results))


def _end(work: PfApply | None, results: list[StepResult]) -> None:
    """Note the end of a PF's steps. If that fails, as many tries stay noted as were begun."""
    if work is not None:
        with suppress(HostError, ValueError):
            work.tries.ended(results)


def _results(
    portion: Portion | Links | Alone,
    following: Portion | Links | Alone | None,
    work: PfApply,
    not_now: tuple[Reason | None, str] | None,
) -> list[StepResult]:
    if not_now is not None:
        steps = portion.steps if isinstance(portion, Portion | Links) else [portion]
        return [not_tried(step, *not_now) for step in steps]
    if isinstance(portion, Portion):
        return together(portion, following if isinstance(following, Portion) else None, work)
    if isinstance(portion, Links):
        return set_links(portion.steps, work)
    return [_result(portion, work)]


def _not_now(
    former: StepResult | None, stuck: Stuck | None, stopping: Callable[[], bool], given_up: bool
) -> tuple[Reason | None, str] | None:
    """Why a step is not tried: reason and words."""
    if former is not None:
        return former.reason, f"not tried after: {shortened(former.message, REPEATED)}"
    if stuck is not None:
        return Reason.STUCK, f"not tried: {stuck.text}"
    if given_up:
        return Reason.CHANGING, "not tried: the client has gone, and another plan waits"
    if stopping():
        return Reason.CHANGING, "not tried, the process is ending"
    return None


def _result(step: Alone, work: PfApply) -> StepResult:
    started = time.monotonic()
    try:
        _carry_out(step, work)
    except HostError as error:
        return ended(step, Outcome.FAILED, error.reason, told(step, error, work), time.monotonic() - started)
    except ValueError as error:  # sysfs shows something else than the number or address that is read there
        text = f"{describe(step)}: not what a kernel writes: {error}"
        return ended(step, Outcome.FAILED, Reason.UNREADABLE, text, time.monotonic() - started)
    return ended(step, Outcome.DONE, None, describe(step), time.monotonic() - started)


def _carry_out(step: Alone, work: PfApply) -> None:
    match step:
        case LoadModule(pf=pf, module=module):
            work.wall.expect_module(module, pf)
            remember(work, pf)  # a module may bind functions that have no driver
            before = registered_drivers(work.machine.sysfs)
            work.machine.modules.load(module, patience(step))
            _expect_driver(module, before, registered_drivers(work.machine.sysfs))
        case Settle(pf=pf, num_vfs=num_vfs):
            work.places = settled(work.machine.sysfs, pf, num_vfs, patience(step), work.unwanted)
        case Forget(pf=pf, another=another):
            _forget(work, pf, another=another)
        case NoteClaims(pf=pf, claims=claims):
            expect_seen(work.machine, pf, claims)
            work.machine.journal.note_claims(pf, claims)
        case SetAutoprobe():
            remember(work, step.pf)
            _set_autoprobe(step, work.machine)
        case SetMtu():
            set_mtu(step, work)
        case SetNumVfs():
            if step.value:
                remember(work, step.pf)
            _set_num_vfs(step, work)
        case Unbind() | Probe():
            address = address_of(work, step.function)
            work.wall.expect_spare(address)
            remember(work, step.function.pf, whole=step.function.index is None)
            _unbind(step, address, work) if isinstance(step, Unbind) else _probe(step, address, work.machine)
        case _:
            assert_never(step)


def _forget(work: PfApply, pf: PciAddress, *, another: bool) -> None:
    machine = work.machine
    links = has_links(original for original in machine.journal.originals() if original.address == pf)
    found = look_at(machine.sysfs, pf, machine.netlink if links else None, machine.reader)
    machine.journal.forget(found, another=another)
    work.remembered.clear()


def _set_autoprobe(step: SetAutoprobe, machine: Machine) -> None:
    path = machine.sysfs.device(step.pf, "sriov_drivers_autoprobe")
    expect(str(path), machine.sysfs.read(path), f"{step.expects:d}")
    machine.writer.write(path, f"{step.value:d}", patience(step))
    expect_made(str(path), machine.sysfs.read(path), f"{step.value:d}")


def _expect_driver(module: str, before: Sequence[str], after: Sequence[str]) -> None:
    """Refuse to go on where a module was loaded and brought a driver of another name, before any VF is made for it. A
    modalias (`pci:...`) names no driver.

    Raises:
        DriverNotThereError: it did.
    """
    if not before or not after or ":" in module or module in after:  # none: they could not be read
        return
    came = ", ".join(sorted(set(after) - set(before)))
    remedy = f"it brought {came}: name that as driver" if came else "see what `lspci -k` shows"
    raise DriverNotThereError(f"its module was loaded, and there is no driver {module}; {remedy}, or ask for kernel")


def _set_num_vfs(step: SetNumVfs, work: PfApply) -> None:
    machine, sysfs = work.machine, work.machine.sysfs
    work.places = None
    look = work.wall.look()
    vfs = list(look.vf_addresses(step.pf).values())
    expect(f"number of VFs of {step.pf}", len(vfs), step.expects)
    path = sysfs.device(step.pf, "sriov_numvfs")
    if step.value:
        work.tries.begin(step)
        with _noted_number(step, machine):
            machine.writer.write(path, str(step.value), patience(step))
        return
    with held(look, vfs, machine.netlink) as locked:
        # Under the lock, not before it: a held VF is refused at once, while the first look at link settings takes long.
        remember(work, step.pf, ends_vfs=True)
        # Side by side, and before the write: the kernel resets bound VFs one after the other as it destroys them
        # (measured by hand, 127 emulated NVMe VFs: 6.9 s against 1.9 s; docs/decisions/0004). Each unbind returns at
        # once, because no program can have the device open while we hold the lock.
        bound = [(sysfs.device(vf, "driver/unbind"), str(vf)) for vf in vfs if locked.bound_driver(vf) is not None]

        def untouched() -> bool:
            return all(sysfs.bound_driver(vf) == locked.bound_driver(vf) for vf in vfs)

        with work.tries.counted(step, untouched), _noted_number(step, machine, untouched):
            machine.writer.write_all(bound, patience(step))
            # No VF is bound any more, so none can be opened and the write cannot block on a user.
            machine.writer.write(path, "0", patience(step))
        expect_none_left(sysfs.vf_addresses(step.pf))


@contextmanager
def _noted_number(step: SetNumVfs, machine: Machine, untouched: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Note that virtfn sets the number of VFs, before the body does. If this process is killed in between, the next
    turn makes the same write; with the note behind the write, VFs of ours could stay for good. The note is taken back
    if the kernel refuses and the VFs are `untouched`."""
    card = card_of(machine.sysfs, step.pf, machine.reader)
    noted = machine.journal.note_number(card)
    try:
        yield
    except SysfsWriteError:
        if noted and len(machine.sysfs.vf_addresses(step.pf)) == step.expects and untouched():
            machine.journal.drop_number(card)
        raise


def _unbind(step: Unbind, address: PciAddress, work: PfApply) -> None:
    machine = work.machine
    expect(f"driver of {address}", machine.sysfs.bound_driver(address), step.expects)
    look = work.wall.look()
    # A PF that loses its driver loses its VFs with it, so none of those may be in use either.
    with held(look, [address, *look.vf_addresses(address).values()], machine.netlink):
        with work.tries.counted(step, lambda: machine.sysfs.bound_driver(address) == step.expects):
            machine.writer.write(machine.sysfs.device(address, "driver/unbind"), str(address), patience(step))
        expect_made(f"driver of {address}", machine.sysfs.bound_driver(address), None)


def _probe(step: Probe, address: PciAddress, machine: Machine) -> None:
    """Let the kernel pick a driver. Autoprobe is on meanwhile: with autoprobe off and no override, a probe does nothing
    and reports success (measured: tests/contract/test_writes.py).
    """
    sysfs = machine.sysfs
    expect(f"driver of {address}", sysfs.bound_driver(address), None)
    alias = sysfs.read(sysfs.device(address, "modalias"))
    if alias:  # `modules.load` refuses a text that is not a modalias
        machine.modules.load(alias, patience(step))
    autoprobe = sysfs.device(step.function.pf, "sriov_drivers_autoprobe")
    was = "1" if step.function.index is None else sysfs.read(autoprobe)
    if was == "0":
        machine.writer.write(autoprobe, "1", patience(step))
    try:
        machine.writer.write(sysfs.sys / "bus/pci/drivers_probe", str(address), patience(step))
    finally:
        if was == "0":
            machine.writer.write(autoprobe, "0", patience(step))
    if sysfs.bound_driver(address) is None:
        raise BindFailedError(f"no driver of this kernel took {address}; is its module installed?")
    expect_kernels_own(sysfs, address)
