"""Steps that are carried out together, because one by one waiting costs more than the work (docs/decisions/0009)."""

import time
from collections.abc import Callable, Sequence

from virtfn_host.core.address import PciAddress
from virtfn_host.core.reasons import Reason
from virtfn_host.core.steps import Bind, Outcome, SetDriverOverride, SetLink, Step, StepResult, describe, patience
from virtfn_host.linux import links
from virtfn_host.linux.errors import BindFailedError, HostError, StuckError, SysfsReadError
from virtfn_host.linux.expect import expect
from virtfn_host.linux.machine import Machine, address_of, remember
from virtfn_host.linux.sysfs import Sysfs
from virtfn_host.linux.writer import MAX_CHILDREN

PORTION = 32
"""Overrides or binds that are written in one go: a stop or a failure is noticed between two portions."""

MESSAGE = 800
"""Characters of a message that are told. Each step that is not tried repeats why, and a plan may have 65,536 steps: a
long message in one of them made a report of 670 MB (measured)."""

REPEATED = 300
"""Characters of a former message that are repeated. 13,300 steps that repeated 800 of them, in another script than
ASCII, took 184 MB of the 128 that the host process has (measured)."""


class Portion:
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
                    address = address_of(machine, step.function)
                    machine.wall.expect_spare(address)
                    write = _write_of(step, address, machine.sysfs)
                    _expect_driver(step, address, machine)
                    remember(machine, step.function.pf, whole=step.function.index is None)
                    self.ready[number] = address, write
                except HostError as error:
                    self.errors[number] = error
                except ValueError as error:
                    path = machine.sysfs.device(step.function.pf)
                    self.errors[number] = SysfsReadError(path, OSError(f"not what a kernel writes: {error}"))
        return self.ready


class Links:
    """Link settings of one PF, which share a look."""

    def __init__(self, steps: Sequence[SetLink]) -> None:
        self.steps = steps


def portions_of(alike: list[Step]) -> list[Portion | Links | Step]:
    """What is carried out together: overrides, binds and link settings of one PF; everything else goes one by one."""
    if together := [step for step in alike if isinstance(step, SetDriverOverride | Bind)]:
        return [Portion(together[start : start + PORTION]) for start in range(0, len(together), PORTION)]
    if links := [step for step in alike if isinstance(step, SetLink)]:
        return [Links(links[start : start + PORTION]) for start in range(0, len(links), PORTION)]
    return list(alike)


def ended(step: Step, outcome: Outcome, reason: Reason | None, message: str, seconds: float = 0.0) -> StepResult:
    """What became of a step; `seconds` are rounded to tenths of a millisecond."""
    short = shortened(message)
    return StepResult(step=step, outcome=outcome, seconds=round(seconds, 4), reason=reason, message=short)


def shortened(message: str, most: int = MESSAGE) -> str:
    """In ASCII: one character of another script makes each of all the others take four bytes, in every copy.

    What was wanted stands at its beginning and what helps at its end, so the middle is left out.
    """
    text = message if message.isascii() else message.encode("ascii", "backslashreplace").decode("ascii")
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"


def not_tried(step: Step, reason: Reason | None, text: str) -> StepResult:
    """A step that was left undone; `text` says why, behind what the step is."""
    return ended(step, Outcome.NOT_TRIED, reason, f"{describe(step)}: {text}")


def together(portion: Portion, following: Portion | None, machine: Machine) -> list[StepResult]:
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
        ended(step, Outcome.FAILED, errors[n].reason, f"{describe(step)}: {errors[n]}", share)
        if n in errors
        else ended(step, Outcome.DONE, None, describe(step), share)
        for n, step in enumerate(steps)
    ]


def _at_once(step: SetDriverOverride | Bind) -> int:
    """Children for such steps: a bind to a vfio driver is pure CPU, and slower side by side (measured); others wait."""
    return MAX_CHILDREN if isinstance(step, Bind) and "vfio" not in step.driver else 1


def _expect_driver(step: SetDriverOverride | Bind, address: PciAddress, machine: Machine) -> None:
    name = step.driver if isinstance(step, Bind) else step.value
    if name is not None:
        machine.wall.expect_driver(name, step.function, address)


def set_links(steps: Sequence[SetLink], machine: Machine, unwanted: Callable[[], bool]) -> list[StepResult]:
    """One look for all, then one setting after the other; a step's seconds are its share of the time."""
    started = time.monotonic()
    errors: Sequence[HostError | None]
    try:
        remember(machine, steps[0].function.pf)
        hands = links.Hands(machine.sysfs, machine.netlink, machine.wall.look, unwanted)
        errors = links.set_links(steps, hands)
    except HostError as error:
        errors = [error for _ in steps]
    except ValueError as error:
        path = machine.sysfs.device(steps[0].function.pf)
        errors = [SysfsReadError(path, OSError(f"not what a kernel writes: {error}")) for _ in steps]
    share = (time.monotonic() - started) / len(steps)
    return [
        ended(step, Outcome.DONE, None, describe(step), share)
        if error is None
        else ended(step, Outcome.FAILED, error.reason, f"{describe(step)}: {error}", share)
        for step, error in zip(steps, errors, strict=True)
    ]


def _write_of(step: SetDriverOverride | Bind, address: PciAddress, sysfs: Sysfs) -> tuple[str, str]:
    """Path and value, when what the step expects is there."""
    if isinstance(step, Bind):
        expect(f"driver of {address}", sysfs.bound_driver(address), None)
        return sysfs.driver(step.driver, "bind"), str(address)
    expect(f"driver_override of {address}", sysfs.override(address), step.expects)
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
