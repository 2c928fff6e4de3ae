"""apply(plan, machine) -> Report: carries out the steps of a plan, each under the safety law, whatever the plan says.

The law: what a step expects is read again before it; a function that is in use is refused; whatever blocks has a
deadline. The first failure stops the steps of its PF, other PFs go on; a link setting that is refused stops nothing.
Nothing here decides what should be.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import assert_never

from virtfn_host.core.address import PciAddress
from virtfn_host.core.model import PhysicalFunction
from virtfn_host.core.reasons import Reason
from virtfn_host.core.steps import (
    Bind,
    Forget,
    FunctionRef,
    LoadModule,
    Outcome,
    Plan,
    Probe,
    Report,
    SetAutoprobe,
    SetDriverOverride,
    SetLink,
    SetNumVfs,
    Settle,
    Step,
    StepResult,
    Unbind,
    describe,
    patience,
    pf_of,
)
from virtfn_host.linux.custody import held
from virtfn_host.linux.errors import (
    AnotherWriterError,
    BindFailedError,
    HostError,
    NetlinkError,
    SettleTimeoutError,
    StaleSnapshotError,
    StuckError,
)
from virtfn_host.linux.inventory import read_pf
from virtfn_host.linux.journal import Journal, has_links
from virtfn_host.linux.links import set_links, with_links
from virtfn_host.linux.modules import Modules
from virtfn_host.linux.netlink import Netlink
from virtfn_host.linux.onelook import OneLook
from virtfn_host.linux.sysfs import Sysfs
from virtfn_host.linux.writer import MAX_CHILDREN, Writer

PORTION = 32
"""Overrides or binds that are written in one go: a stop or a failure is noticed between two portions."""

SETTLE_POLL = 0.01
"""Seconds between two looks while the kernel makes VFs: no event is sure to announce the last link or group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Everything a step may touch."""

    sysfs: Sysfs
    writer: Writer
    journal: Journal
    modules: Modules
    netlink: Netlink | None = None
    """None: this machine has no link settings and no addresses."""
    remembered: set[tuple[PciAddress, bool]] = field(default_factory=set)
    """PFs, and whether whole, whose journal entry is known to be there during one apply."""
    places: dict[PciAddress, dict[int, PciAddress]] = field(default_factory=dict)
    """Where the VFs of a PF are during one apply: an index has one address as long as the number of VFs stands."""


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Be the one process that writes on this node, by a lock on the folder of its journal, which leaves no file.

    Raises:
        AnotherWriterError: another one has the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            text = f"another virtfn process writes on this node (it has {folder} locked); wait for it or stop it"
            raise AnotherWriterError(text) from error
        yield
    finally:
        os.close(fd)


def apply(
    plan: Plan,
    machine: Machine,
    on_result: Callable[[StepResult], None] = lambda _: None,
    stopping: Callable[[], bool] = lambda: False,
) -> Report:
    """Carry out a plan; `on_result` hears of each step as it ends, `stopping` is asked before each."""
    failed: dict[PciAddress, StepResult] = {}
    results: list[StepResult] = []
    machine.remembered.clear()
    machine.places.clear()
    for (pf, _), alike in groupby(plan.steps, key=lambda step: (pf_of(step), type(step))):
        portions = _portions(list(alike))
        for number, portion in enumerate(portions):
            following = portions[number + 1] if number + 1 < len(portions) else None
            for result in _results(portion, following, machine, failed.get(pf), stopping):
                if result.outcome is Outcome.FAILED and not isinstance(result.step, SetLink):
                    failed.setdefault(pf, result)
                results.append(result)
                on_result(result)
    return Report(results=tuple(results))


class _Portion:
    """Overrides or binds of one PF that are checked, then written in one go, then looked at."""

    def __init__(self, steps: Sequence[SetDriverOverride | Bind]) -> None:
        self.steps = steps
        self.ready: dict[int, tuple[PciAddress, tuple[str, str]]] | None = None
        self.errors: dict[int, HostError] = {}

    def check(self, machine: Machine) -> dict[int, tuple[PciAddress, tuple[str, str]]]:
        """Number of each step that may be carried out to its address and write; only the first call looks."""
        if self.ready is None:
            self.ready = {}
            for number, step in enumerate(self.steps):
                try:
                    _remember(machine, step.function.pf, whole=step.function.index is None)
                    address = _address(machine, step.function)
                    self.ready[number] = address, _write_of(step, address, machine.sysfs)
                except HostError as error:
                    self.errors[number] = error
        return self.ready


class _Links:
    """Link settings of one PF, which share a look."""

    def __init__(self, steps: Sequence[SetLink]) -> None:
        self.steps = steps


def _portions(alike: list[Step]) -> list[_Portion | _Links | Step]:
    """What is carried out together: overrides, binds and link settings of one PF; everything else goes one by one."""
    if together := [step for step in alike if isinstance(step, SetDriverOverride | Bind)]:
        return [_Portion(together[start : start + PORTION]) for start in range(0, len(together), PORTION)]
    if links := [step for step in alike if isinstance(step, SetLink)]:
        return [_Links(links[start : start + PORTION]) for start in range(0, len(links), PORTION)]
    return list(alike)


def _results(
    portion: _Portion | _Links | Step,
    following: _Portion | _Links | Step | None,
    machine: Machine,
    former: StepResult | None,
    stopping: Callable[[], bool],
) -> list[StepResult]:
    steps = portion.steps if isinstance(portion, _Portion | _Links) else [portion]
    if former is not None:
        text = f"not tried after: {former.message}"
        return [_ended(step, Outcome.NOT_TRIED, former.reason, f"{describe(step)}: {text}") for step in steps]
    if stopping():
        text = "not tried, the process is ending"
        return [_ended(step, Outcome.NOT_TRIED, Reason.CHANGING, f"{describe(step)}: {text}") for step in steps]
    if isinstance(portion, _Portion):
        return _together(portion, following if isinstance(following, _Portion) else None, machine)
    if isinstance(portion, _Links):
        return _set_links(portion.steps, machine)
    return [_result(portion, machine)]


def _result(step: Step, machine: Machine) -> StepResult:
    started = time.monotonic()
    try:
        _carry_out(step, machine)
    except HostError as error:
        return _ended(step, Outcome.FAILED, error.reason, f"{describe(step)}: {error}", time.monotonic() - started)
    return _ended(step, Outcome.DONE, None, describe(step), time.monotonic() - started)


def _ended(step: Step, outcome: Outcome, reason: Reason | None, message: str, seconds: float = 0.0) -> StepResult:
    return StepResult(step=step, outcome=outcome, seconds=round(seconds, 4), reason=reason, message=message)


def _together(portion: _Portion, following: _Portion | None, machine: Machine) -> list[StepResult]:
    """Check each, write all, look at each; the next portion is checked meanwhile. Seconds are a share of the time."""
    started = time.monotonic()
    steps, ready, errors = portion.steps, portion.check(machine), portion.errors
    answers = machine.writer.write_each(
        [write for _, write in ready.values()],
        patience(steps[0]),
        _at_once(steps[0]),
        meanwhile=lambda: following.check(machine) if following else None,
    )
    for (number, (address, _)), answer in zip(ready.items(), answers, strict=True):
        if (wrong := _wrong(steps[number], address, answer, machine.sysfs)) is not None:
            errors[number] = wrong
    share = (time.monotonic() - started) / len(steps)
    return [
        _ended(step, Outcome.FAILED, errors[n].reason, f"{describe(step)}: {errors[n]}", share)
        if n in errors
        else _ended(step, Outcome.DONE, None, describe(step), share)
        for n, step in enumerate(steps)
    ]


def _at_once(step: SetDriverOverride | Bind) -> int:
    """Children for such steps: a bind to a vfio driver is pure CPU, and slower side by side (measured); others wait."""
    return MAX_CHILDREN if isinstance(step, Bind) and "vfio" not in step.driver else 1


def _set_links(steps: Sequence[SetLink], machine: Machine) -> list[StepResult]:
    """One look for all, then one setting after the other; a step's seconds are its share of the time."""
    started = time.monotonic()
    errors: Sequence[HostError | None]
    try:
        _remember(machine, steps[0].function.pf)
        errors = set_links(steps, machine.sysfs, machine.netlink)
    except HostError as error:
        errors = [error for _ in steps]
    share = (time.monotonic() - started) / len(steps)
    return [
        _ended(step, Outcome.DONE, None, describe(step), share)
        if error is None
        else _ended(step, Outcome.FAILED, error.reason, f"{describe(step)}: {error}", share)
        for step, error in zip(steps, errors, strict=True)
    ]


def _write_of(step: SetDriverOverride | Bind, address: PciAddress, sysfs: Sysfs) -> tuple[str, str]:
    """Path and value, when what the step expects is there."""
    if isinstance(step, Bind):
        _expect(f"driver of {address}", sysfs.bound_driver(address), None)
        return sysfs.driver(step.driver, "bind"), str(address)
    _expect(f"driver_override of {address}", sysfs.override(address), step.expects)
    # A newline clears it; an empty string does nothing at all (measured).
    return sysfs.device(address, "driver_override"), step.value or "\n"


def _wrong(
    step: SetDriverOverride | Bind, address: PciAddress, answer: HostError | None, sysfs: Sysfs
) -> HostError | None:
    """What went wrong, looking also where the kernel said yes."""
    if not isinstance(step, Bind) or isinstance(answer, StuckError):
        return answer
    try:
        driver = sysfs.bound_driver(address)
    except HostError as error:
        return error
    if driver == step.driver:
        return None
    if answer is not None:
        return BindFailedError(str(answer))
    return BindFailedError(f"{address} is on {driver or 'no driver'} after binding it to {step.driver}")


def _carry_out(step: Step, machine: Machine) -> None:
    match step:
        case LoadModule(pf=pf, module=module):
            _remember(machine, pf)  # a module may bind what waits for it
            machine.modules.load(module, patience(step))
        case Settle(pf=pf, num_vfs=num_vfs):
            machine.places[pf] = _settled(machine.sysfs, pf, num_vfs, patience(step))
        case Forget(pf=pf):
            _forget(machine, pf)
        case SetAutoprobe() | SetNumVfs():
            if isinstance(step, SetAutoprobe) or step.value:
                _remember(machine, step.pf)
            _set_autoprobe(step, machine) if isinstance(step, SetAutoprobe) else _set_num_vfs(step, machine)
        case Unbind() | Probe():
            _remember(machine, step.function.pf, whole=step.function.index is None)
            address = _address(machine, step.function)
            _unbind(step, address, machine) if isinstance(step, Unbind) else _probe(step, address, machine)
        case SetDriverOverride() | Bind() | SetLink():
            raise AssertionError("carried out in portions")
        case _:
            assert_never(step)


def _remember(machine: Machine, pf: PciAddress, *, whole: bool = False, ends_vfs: bool = False) -> None:
    """Before the first touch of a PF, or of the function itself: how it was, with the link settings of its VFs.

    Where those cannot be told, only a step that ends the VFs, and their settings with them, is refused.
    """
    if (pf, whole) in machine.remembered:
        return
    vendor, device = (machine.sysfs.hex_digits(pf, name) for name in ("vendor", "device"))
    # To look at 127 VFs for an entry that is there already would cost more than to unbind ten of them.
    if not (known := machine.journal.knows(pf, vendor, device)) or whole:
        found = _look(machine.sysfs, pf)
        if found.vfs and machine.netlink is not None and not known:
            found = _seen_links(found, machine.sysfs, machine.netlink, needed=ends_vfs)
        machine.journal.remember(found, whole=whole)
    machine.remembered.update({(pf, whole), (pf, False)})


def _seen_links(pf: PhysicalFunction, sysfs: Sysfs, netlink: Netlink, *, needed: bool) -> PhysicalFunction:
    try:
        return with_links(pf, sysfs, netlink)
    except NetlinkError:
        if needed:
            raise
        return pf


def _forget(machine: Machine, pf: PciAddress) -> None:
    links = has_links(original for original in machine.journal.originals() if original.address == pf)
    machine.journal.forget(_look(machine.sysfs, pf, machine.netlink if links else None))
    machine.remembered.difference_update({(pf, True), (pf, False)})


def _look(sysfs: Sysfs, pf: PciAddress, netlink: Netlink | None = None) -> PhysicalFunction:
    found = read_pf(sysfs, pf, netlink)
    if found is None:
        raise StaleSnapshotError(f"{pf} is not there any more; look and plan again")
    return found


def _set_autoprobe(step: SetAutoprobe, machine: Machine) -> None:
    path = machine.sysfs.device(step.pf, "sriov_drivers_autoprobe")
    _expect(str(path), machine.sysfs.read(path), f"{step.expects:d}")
    machine.writer.write(path, f"{step.value:d}", patience(step))


def _set_num_vfs(step: SetNumVfs, machine: Machine) -> None:
    sysfs = machine.sysfs
    machine.places.pop(step.pf, None)
    look = OneLook(sysfs)
    vfs = list(look.vf_addresses(step.pf).values())
    _expect(f"number of VFs of {step.pf}", len(vfs), step.expects)
    path = sysfs.device(step.pf, "sriov_numvfs")
    if step.value:
        machine.writer.write(path, str(step.value), patience(step))
        return
    with held(look, vfs, machine.netlink) as locked:
        # Not before the lock: a held VF is refused at once, and asking for link settings takes a while the first time.
        _remember(machine, step.pf, ends_vfs=True)
        # Side by side, and before the write: destroying bound VFs takes one reset after the other (measured: 6.9 s
        # against 1.9 s for 127). Each returns at once, because nobody can have the device while we hold the lock.
        bound = [(sysfs.device(vf, "driver/unbind"), str(vf)) for vf in vfs if locked.bound_driver(vf) is not None]
        machine.writer.write_all(bound, patience(step))
        # Nothing is bound any more, so nothing can be opened and the write cannot block on a user.
        machine.writer.write(path, "0", patience(step))


def _settled(sysfs: Sysfs, pf: PciAddress, num_vfs: int, seconds: float) -> dict[int, PciAddress]:
    """Where the VFs are, once all are there."""
    until = time.monotonic() + seconds
    grouped = sysfs.group(pf) is not None
    while True:
        vfs = sysfs.vf_addresses(pf)
        if len(vfs) == num_vfs and not (grouped and any(sysfs.group(vf) is None for vf in vfs.values())):
            return vfs
        if time.monotonic() > until:
            text = f"{pf} shows {len(vfs)} of {num_vfs} VFs with their IOMMU groups after {seconds:.0f} s"
            raise SettleTimeoutError(f"{text}; see the kernel log")
        time.sleep(SETTLE_POLL)


def _unbind(step: Unbind, address: PciAddress, machine: Machine) -> None:
    _expect(f"driver of {address}", machine.sysfs.bound_driver(address), step.expects)
    with held(machine.sysfs, [address], machine.netlink):
        machine.writer.write(machine.sysfs.device(address, "driver/unbind"), str(address), patience(step))


def _probe(step: Probe, address: PciAddress, machine: Machine) -> None:
    """With autoprobe off and no override a probe does nothing and says OK (measured), so it is on for this moment."""
    sysfs = machine.sysfs
    _expect(f"driver of {address}", sysfs.bound_driver(address), None)
    alias = sysfs.read(sysfs.device(address, "modalias"))
    if alias:
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


def _address(machine: Machine, function: FunctionRef) -> PciAddress:
    if function.index is None:
        return function.pf
    if function.pf not in machine.places:
        machine.places[function.pf] = machine.sysfs.vf_addresses(function.pf)
    address = machine.places[function.pf].get(function.index)
    if address is None or function.address not in (None, address):
        raise StaleSnapshotError(f"{function} is {'not there' if address is None else f'at {address} now'}")
    return address


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise StaleSnapshotError(
            f"{what} is {found!r}, the plan was made when it was {expected!r}; look and plan again"
        )
