"""The closed union of steps, the plan made of them, and the report of what became of it.

A step is data: what to write, and what must be found there before. `linux/act/apply.py` carries it out after the
in-use lock says yes, and refuses anything that is not in this file.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Annotated, TypeAlias, assert_never

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Holder
from virtfn_host.core.values.link import GROUPS, link_text
from virtfn_host.core.values.model import VfLink
from virtfn_host.core.values.names import (
    AtMost,
    DriverName,
    ModuleName,
    OverrideText,
    Sentence,
    ShownName,
    VfCount,
    VfIndex,
)
from virtfn_host.core.values.reasons import Reason

MANY = 65536
"""Steps of the longest plan, and whatever else there is a list of: more than the VFs of the largest PF."""

MESSAGE = 800
"""Characters of a message that are told. Each step that is not tried repeats why, and a plan may have 65,536 steps: a
long message in one of them made a report of 670 MB (measured)."""

REPEATED = 300
"""Characters of a former message that are repeated. 13,300 steps that repeated 800 of them, in another script than
ASCII, took 184 MB of the 128 that the host process has (measured)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionRef:
    """A VF by PF and index, because a VF that a former step makes has no address yet; or a whole function."""

    pf: PciAddress
    """The PF, or the function itself where there is no index."""
    index: VfIndex | None
    """VF index; None: the function at `pf` itself, handed out whole."""
    address: PciAddress | None
    """Where it must be found; None when the plan makes it."""

    def __str__(self) -> str:
        if self.index is None:
            return str(self.pf)
        return f"VF {self.index} of {self.pf}" + (f" ({self.address})" if self.address else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadModule:
    """`modprobe NAME` when the driver is not registered. Not disruptive."""

    pf: PciAddress
    module: ModuleName


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAutoprobe:
    """Write `sriov_drivers_autoprobe`. Not disruptive: it acts when VFs are made or probed."""

    pf: PciAddress
    value: bool
    expects: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SetNumVfs:
    """Write `sriov_numvfs`. One of `value` and `expects` is 0: the kernel refuses n to m.

    To 0 it ends every VF: all are locked, then unbound side by side, then 0 is written, or nothing happens.
    """

    pf: PciAddress
    value: VfCount
    expects: VfCount


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Wait until `num_vfs` VFs are there, each with an IOMMU group where the PF has one."""

    pf: PciAddress
    num_vfs: VfCount


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbind:
    """Take a function from the driver that has it. Disruptive."""

    function: FunctionRef
    expects: ShownName


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDriverOverride:
    """Write `driver_override`; None clears it. Acts at the next bind only."""

    function: FunctionRef
    value: OverrideText | None
    expects: OverrideText | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """Bind a driverless function to a driver by name and look that it is there."""

    function: FunctionRef
    driver: DriverName


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Let the kernel pick the driver of a driverless function, and look that one came."""

    function: FunctionRef


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLink:
    """Set one link setting of a VF through its PF's netdev, under the in-use lock. Its failure stops no other step."""

    function: FunctionRef
    value: VfLink
    """One group of `link.GROUPS`; the rest is None."""
    expects: VfLink | None
    """What must be shown before, of the same fields; None for a VF that the plan makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Drop the journal's entry of a PF that is as it was before the first touch; refused when it is not."""

    pf: PciAddress


Step: TypeAlias = (
    LoadModule | SetAutoprobe | SetNumVfs | Settle | Unbind | SetDriverOverride | Bind | Probe | SetLink | Forget
)


def pf_of(step: Step) -> PciAddress:
    """The PF a step belongs to: a failure stops the steps of its PF only, a blocked write all."""
    match step:
        case LoadModule() | SetAutoprobe() | SetNumVfs() | Settle() | Forget():
            return step.pf
        case Unbind() | SetDriverOverride() | Bind() | Probe() | SetLink():
            return step.function.pf
        case _:
            assert_never(step)


def describe(step: Step) -> str:
    """The one sentence of a step: dry-run line, log line, report line and golden text."""
    match step:
        case LoadModule(module=module):
            return f"load module {module}"
        case SetAutoprobe(pf=pf, value=value, expects=expects):
            return f"{pf}: set sriov_drivers_autoprobe {expects:d} -> {value:d}"
        case SetNumVfs(pf=pf, value=value, expects=expects):
            return f"{pf}: set sriov_numvfs {expects} -> {value}" + (", detaching every VF" if value == 0 else "")
        case Settle(pf=pf, num_vfs=num_vfs):
            return f"{pf}: wait for {num_vfs} VFs"
        case Unbind(function=function, expects=driver):
            return f"{function}: unbind from {driver}"
        case SetDriverOverride(function=function, value=None):
            return f"{function}: clear driver_override"
        case SetDriverOverride(function=function, value=value):
            return f"{function}: set driver_override {value}"
        case Bind(function=function, driver=driver):
            return f"{function}: bind to {driver}"
        case Probe(function=function):
            return f"{function}: let the kernel pick its driver"
        case SetLink(function=function, value=link):
            return f"{function}: set {link_text(link)}"
        case Forget(pf=pf):
            return f"{pf}: original state is back, forget it"
        case _:
            assert_never(step)


def patience(step: Step) -> float:
    """Seconds a step may take before it counts as stuck (writes) or unsettled.

    Measured: numvfs to 0 with 127 bound VFs takes 7 s under emulation, real cards up to 65 s for 125 VFs; a held VF
    blocks for ever, so more patience only delays the word Stuck. Under the lock nothing should block at all.
    """
    match step:
        case SetNumVfs():
            return 120.0
        case LoadModule() | Settle():
            return 30.0
        case Unbind() | Bind() | Probe():
            return 20.0
        case SetLink():
            # For a rate this includes waiting for the PF's carrier, which is lost when VFs are made.
            return 10.0
        case SetAutoprobe() | SetDriverOverride() | Forget():
            return 5.0
        case _:
            assert_never(step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Something that must wait for a holder or for the machine; nothing of it was or will be touched."""

    device: PciAddress
    reason: Reason
    message: Sentence
    holders: Annotated[tuple[Holder, ...], AtMost(MANY)]
    displaces: Annotated[tuple[PciAddress, ...], AtMost(MANY)] = ()
    """Functions that exist now and that are taken away or rebound once it need not wait."""
    only_links: bool = False
    """Only link settings wait; nothing else of the PF waits for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PfPlan:
    """What is to do on one PF: its ordered steps, what must wait, and whom the steps displace."""

    pf: PciAddress
    steps: Annotated[tuple[Step, ...], AtMost(MANY)]
    blocked: Annotated[tuple[Blocked, ...], AtMost(MANY)] = ()
    displaces: Annotated[tuple[PciAddress, ...], AtMost(MANY)] = ()
    """Functions that exist now and that some step takes away or rebinds: withdraw them from pods first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plans of all PFs where there is something to do. Same input, same bytes; converged input, none."""

    pfs: Annotated[tuple[PfPlan, ...], AtMost(MANY, together="steps")]
    """By address."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in their order."""
        return tuple(step for part in self.pfs for step in part.steps)

    @property
    def blocked(self) -> tuple[Blocked, ...]:
        """All that must wait."""
        return tuple(blocked for part in self.pfs for blocked in part.blocked)

    @property
    def displaces(self) -> tuple[PciAddress, ...]:
        """All functions that some step takes away or rebinds."""
        return tuple(address for part in self.pfs for address in part.displaces)

    @property
    def calm(self) -> "Plan":
        """The PFs of which nothing is displaced: these wait for no turn and for no withdrawal."""
        return Plan(pfs=tuple(part for part in self.pfs if not part.displaces))

    def pf(self, address: PciAddress) -> PfPlan | None:
        """The plan of this PF, or None where there is nothing to do."""
        return next((part for part in self.pfs if part.pf == address), None)


def plan_of(steps: Iterable[Step]) -> Plan:
    """These steps alone, PF by PF."""
    return Plan(pfs=tuple(PfPlan(pf=pf, steps=tuple(alike)) for pf, alike in groupby(steps, pf_of)))


def too_often(plan: Plan) -> Step | None:
    """The first step that comes more often to the same than in any plan of ours; None: there is none.

    A plan leads from what is to what should be, and no way there is longer than off and on again: a number of VFs goes
    through 0, an override is set and cleared. Only of link settings a VF has one for each group.
    """
    times: Counter[tuple[object, ...]] = Counter()
    for step in plan.steps:
        aim = _aim(step)
        times[aim] += 1
        if times[aim] > (len(GROUPS) if isinstance(step, SetLink) else 2):
            return step
    return None


def _aim(step: Step) -> tuple[object, ...]:
    """What a step does to what; how it is now and then is left out."""
    match step:
        case LoadModule(pf=pf, module=module):
            return LoadModule, pf, module
        case SetAutoprobe() | SetNumVfs() | Settle() | Forget():
            return type(step), step.pf
        case Unbind() | SetDriverOverride() | Bind() | Probe() | SetLink():
            return type(step), step.function.pf, step.function.index
        case _:
            assert_never(step)


class Outcome(StrEnum):
    """What became of a step."""

    DONE = "done"
    FAILED = "failed"
    NOT_TRIED = "notTried"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """One step of a plan, carried out or not."""

    step: Step
    outcome: Outcome
    seconds: float
    reason: Reason | None
    """Why not, for everything but `done`."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of a plan, step by step, in its order."""

    results: tuple[StepResult, ...]


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
