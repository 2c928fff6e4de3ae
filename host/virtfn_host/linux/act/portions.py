"""Steps that are carried out together: one by one, waiting would take longer than the work (docs/decisions/0009)."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.report import Outcome, StepResult, ended
from virtfn_host.core.values.steps import (
    Bind,
    Forget,
    LoadModule,
    NoteClaims,
    Probe,
    SetAutoprobe,
    SetDriverOverride,
    SetLink,
    SetMtu,
    SetNumVfs,
    Settle,
    Step,
    Unbind,
    describe,
    patience,
)
from virtfn_host.linux.act import link_steps
from virtfn_host.linux.act.expect import expect
from virtfn_host.linux.act.machine import PfApply, address_of, remember
from virtfn_host.linux.act.made import expect_made
from virtfn_host.linux.act.told import told
from virtfn_host.linux.errors import BindFailedError, HostError, StuckError, SysfsReadError
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.overrides import Override, overrides_of
from virtfn_host.linux.touch.writer import MAX_CHILDREN

PORTION = 32
"""Overrides or binds that are written in one go. A stop or a failure is noticed only between two portions."""


class Portion:
    """Overrides or binds of one PF that are checked, then written in one go, then verified."""

    def __init__(self, steps: Sequence[SetDriverOverride | Bind]) -> None:
        self.steps = steps
        self.ready: dict[int, tuple[PciAddress, tuple[str, str]]] | None = None
        self.errors: dict[int, HostError] = {}

    def check(self, work: PfApply) -> dict[int, tuple[PciAddress, tuple[str, str]]]:
        """Check every step. Return address and write of each that may be carried out, by its number in the portion.

        Only the first call looks at the machine.
        """
        if self.ready is None:
            self.ready = {}
            places: dict[int, PciAddress] = {}
            for number, step in enumerate(self.steps):
                with self._noting(number, work):
                    address = address_of(work, step.function)
                    work.wall.expect_spare(address)
                    places[number] = address
            overrides = self._overrides(places, work)
            for number, address in places.items():
                step = self.steps[number]
                with self._noting(number, work):
                    write = _write_of(step, address, work.machine.sysfs, overrides)
                    _expect_driver(step, address, work)
                    remember(work, step.function.pf, whole=step.function.index is None)
                    self.ready[number] = address, write
        return self.ready

    def verify(self, answers: Sequence[HostError | None], work: PfApply) -> None:
        """Note the errors of what was written: those of the writes, and what was made instead of what was asked."""
        ready = self.check(work)
        told = dict(zip(ready, answers, strict=True))
        # Behind our own blocked write a read would hang.
        overrides = self._overrides({number: ready[number][0] for number in ready if told[number] is None}, work)
        for number, answer in told.items():
            wrong = _wrong(self.steps[number], ready[number][0], answer, work.machine.sysfs, overrides)
            if wrong is not None:
                self.errors[number] = wrong

    def _overrides(self, places: Mapping[int, PciAddress], work: PfApply) -> dict[PciAddress, Override]:
        """Read the overrides of those functions whose overrides are written, in one go."""
        addresses = [place for number, place in places.items() if isinstance(self.steps[number], SetDriverOverride)]
        return overrides_of(work.machine.sysfs, addresses, work.machine.reader)

    @contextmanager
    def _noting(self, number: int, work: PfApply) -> Iterator[None]:
        """Note an error as that of the step with this number."""
        try:
            yield
        except HostError as error:
            self.errors[number] = error
        except ValueError as error:
            path = work.machine.sysfs.device(self.steps[number].function.pf)
            self.errors[number] = SysfsReadError(path, OSError(f"not what a kernel writes: {error}"))


class Links:
    """Link settings of one PF, which share a look."""

    def __init__(self, steps: Sequence[SetLink]) -> None:
        self.steps = steps


Alone = LoadModule | Settle | Forget | NoteClaims | SetAutoprobe | SetNumVfs | SetMtu | Unbind | Probe
"""Steps that are carried out one by one."""


def portions_of(alike: list[Step]) -> list[Portion | Links | Alone]:
    """Cut alike steps into portions: overrides, binds and link settings go together, all other steps one by one."""
    if together := [step for step in alike if isinstance(step, SetDriverOverride | Bind)]:
        return [Portion(together[start : start + PORTION]) for start in range(0, len(together), PORTION)]
    if links := [step for step in alike if isinstance(step, SetLink)]:
        return [Links(links[start : start + PORTION]) for start in range(0, len(links), PORTION)]
    return [step for step in alike if not isinstance(step, SetDriverOverride | Bind | SetLink)]


def together(portion: Portion, following: Portion | None, work: PfApply) -> list[StepResult]:
    """Check each step, write all, verify each; check the next portion meanwhile. A step's seconds are its share."""
    started = time.monotonic()
    steps, ready, errors = portion.steps, portion.check(work), portion.errors
    answers = work.machine.writer.write_each(
        [write for _, write in ready.values()],
        patience(steps[0]),
        _at_once(steps[0]),
        meanwhile=lambda: following.check(work) if following else None,
    )
    portion.verify(answers, work)
    share = (time.monotonic() - started) / len(steps)
    return [
        ended(step, Outcome.FAILED, errors[n].reason, told(step, errors[n], work), share)
        if n in errors
        else ended(step, Outcome.DONE, None, describe(step), share)
        for n, step in enumerate(steps)
    ]


def _at_once(step: SetDriverOverride | Bind) -> int:
    """Children for such steps. Overrides and binds to a vfio driver are pure CPU, and slower side by side (measured by
    hand; docs/decisions/0009). Other binds mostly wait."""
    return MAX_CHILDREN if isinstance(step, Bind) and "vfio" not in step.driver else 1


def _expect_driver(step: SetDriverOverride | Bind, address: PciAddress, work: PfApply) -> None:
    name = step.driver if isinstance(step, Bind) else step.value
    if name is not None:
        work.wall.expect_driver(name, step.function, address)


def set_links(steps: Sequence[SetLink], work: PfApply) -> list[StepResult]:
    """Look once, then make one setting after the other; a step's seconds are its share of the time."""
    started = time.monotonic()
    errors: Sequence[HostError | None]
    try:
        remember(work, steps[0].function.pf)
        work.tries.begin_settings()
        hands = link_steps.Hands(
            work.machine.sysfs,
            work.machine.netlink,
            work.machine.journal,
            work.wall.look,
            work.unwanted,
            work.machine.reader,
        )
        errors = link_steps.set_links(steps, hands)
    except HostError as error:
        errors = [error for _ in steps]
    except ValueError as error:
        path = work.machine.sysfs.device(steps[0].function.pf)
        errors = [SysfsReadError(path, OSError(f"not what a kernel writes: {error}")) for _ in steps]
    share = (time.monotonic() - started) / len(steps)
    return [
        ended(step, Outcome.DONE, None, describe(step), share)
        if error is None
        else ended(step, Outcome.FAILED, error.reason, told(step, error, work), share)
        for step, error in zip(steps, errors, strict=True)
    ]


def _write_of(
    step: SetDriverOverride | Bind, address: PciAddress, sysfs: Sysfs, overrides: Mapping[PciAddress, Override]
) -> tuple[str, str]:
    """Check what the step expects, then return path and value of its write."""
    if isinstance(step, Bind):
        expect(f"driver of {address}", sysfs.bound_driver(address), None)
        return sysfs.driver(step.driver, "bind"), str(address)
    expect(f"driver_override of {address}", _known(overrides[address]), step.expects)
    # A newline clears it; an empty string does nothing at all (measured: tests/contract/test_writes.py).
    return sysfs.device(address, "driver_override"), step.value or "\n"


def _known(override: Override) -> str | None:
    if isinstance(override, SysfsReadError):
        raise override
    return override


def _wrong(
    step: SetDriverOverride | Bind,
    address: PciAddress,
    answer: HostError | None,
    sysfs: Sysfs,
    overrides: Mapping[PciAddress, Override],
) -> HostError | None:
    """The error of a step, or None. What it made is read even where the kernel reported success."""
    if isinstance(answer, StuckError) or (answer is not None and not isinstance(step, Bind)):
        return answer
    try:
        if isinstance(step, SetDriverOverride):
            expect_made(f"driver_override of {address}", _known(overrides[address]), step.value)
        elif (driver := sysfs.bound_driver(address)) != step.driver and answer is not None:
            failed = BindFailedError(str(answer))
            failed.errno = answer.errno
            return failed
        else:
            expect_made(f"driver of {address}", driver, step.driver)
    except HostError as error:
        return error
    return None
