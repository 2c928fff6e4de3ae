"""The closed union of steps, and the plan made of them.

A step is data: the value to write, and the value that must be there before. `linux/act/apply.py` carries it out after
it took the in-use lock, and refuses anything that is not in this file.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Annotated, TypeAlias, assert_never

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import SPARSE
from virtfn_host.core.values.holders import Holder
from virtfn_host.core.values.identity import Claim
from virtfn_host.core.values.link import GROUPS, link_text
from virtfn_host.core.values.model import VfLink
from virtfn_host.core.values.names import (
    AnyMtu,
    AtMost,
    DriverName,
    Label,
    ModuleName,
    Mtu,
    OverrideText,
    Sentence,
    ShownName,
    VfCount,
    VfIndex,
    WishName,
    Within,
)
from virtfn_host.core.values.reasons import Reason

MANY = 65536
"""Most items of a list in a plan, such as its steps: more than the VFs of the largest PF."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionRef:
    """A VF by PF and index, because a VF that an earlier step makes has no address yet; or a whole function."""

    pf: PciAddress
    """The PF, or the whole function itself."""
    index: VfIndex | None
    """VF index; None: the function at `pf` itself, handed out whole."""
    address: PciAddress | None
    """The address that the VF must have; None if the plan makes the VF."""

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

    Writing 0 removes every VF: all VFs are locked, then unbound in parallel, then 0 is written; or nothing happens.
    """

    pf: PciAddress
    value: VfCount
    expects: VfCount


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Wait until `num_vfs` VFs exist, each with an IOMMU group if the PF has one."""

    pf: PciAddress
    num_vfs: VfCount


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbind:
    """Unbind a function from its driver. Disruptive."""

    function: FunctionRef
    expects: ShownName


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDriverOverride:
    """Write `driver_override`; None clears it. It takes effect at the next bind."""

    function: FunctionRef
    value: OverrideText | None
    expects: OverrideText | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """Bind a function without driver to a driver by name, and check that it is bound."""

    function: FunctionRef
    driver: DriverName


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Let the kernel pick the driver of a function without driver, and check that one is bound."""

    function: FunctionRef


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLink:
    """Set one link setting of a VF through its PF's netdev, under the in-use lock. A failure stops no other step."""

    function: FunctionRef
    value: VfLink
    """One group of `link.GROUPS`; the other fields are None."""
    expects: VfLink | None
    """The values that the same fields must have before; None for a VF that the plan makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMtu:
    """Set the MTU of the netdev of a PF or VF, of a VF under the in-use lock. A failure stops no other step."""

    function: FunctionRef
    """Of a VF; without an index, the PF itself."""
    value: Mtu
    expects: AnyMtu | None
    """The MTU that it must have before; None for a netdev that the plan makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Drop the journal's entry of a PF that has its original state again; refused if it does not."""

    pf: PciAddress
    another: bool = False
    """Whether the entry is dropped because another card is at the address now; refused if it is the same."""


MOST_CLAIMS = 32
"""Claims on one function that are noted, those of the policies with the highest precedence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteClaims:
    """Note in the journal which policies claim a function, instead of what is noted there. Touches no function."""

    pf: PciAddress
    claims: Annotated[tuple[Claim, ...], AtMost(MOST_CLAIMS)]


Step: TypeAlias = (
    LoadModule
    | SetAutoprobe
    | SetNumVfs
    | Settle
    | Unbind
    | SetDriverOverride
    | Bind
    | Probe
    | SetLink
    | SetMtu
    | Forget
    | NoteClaims
)


def pf_of(step: Step) -> PciAddress:
    """Return the PF of a step. A failed step stops the steps of its PF only, a blocked write stops all."""
    match step:
        case LoadModule() | SetAutoprobe() | SetNumVfs() | Settle() | Forget() | NoteClaims():
            return step.pf
        case Unbind() | SetDriverOverride() | Bind() | Probe() | SetLink() | SetMtu():
            return step.function.pf
        case _:
            assert_never(step)


def describe(step: Step) -> str:
    """Return the sentence of a step, for plans, logs and reports."""
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
        case SetMtu(function=function, value=value):
            return f"{function}: set mtu {value}"
        case Forget(pf=pf, another=True):
            return f"{pf}: another card is there now, forget what the former was like"
        case Forget(pf=pf):
            return f"{pf}: original state is back, forget it"
        case NoteClaims(pf=pf, claims=()):
            return f"{pf}: note that no policy claims it"
        case NoteClaims(pf=pf, claims=claims):
            return f"{pf}: note that it is claimed by policy {', '.join(claim.policy for claim in claims)}"
        case _:
            assert_never(step)


def holds_up_others(step: Step) -> bool:
    """Return whether the later steps of a PF are not tried after this one has failed: not after a link setting."""
    return not isinstance(step, SetLink | SetMtu)


def patience(step: Step) -> float:
    """Return the seconds that a step may take before it counts as stuck (a write) or not settled.

    Measured by hand: writing 0 to sriov_numvfs with 127 bound VFs takes 7 s under emulation. Real cards take up to 65 s
    for 125 VFs. A held VF blocks for ever, so a longer time only delays the reason Stuck. Under the lock, no write
    should block.
    """
    match step:
        case SetNumVfs():
            return 120.0
        case LoadModule() | Settle():
            return 30.0
        case Unbind() | Bind() | Probe():
            return 20.0
        case SetLink() | SetMtu():
            # Includes the wait for the PF's carrier: a rate needs it, and it is lost when VFs are made. And the wait
            # for the netdev of a VF that was just bound, which some drivers (iavf) make a moment later.
            return 10.0
        case SetAutoprobe() | SetDriverOverride() | Forget() | NoteClaims():
            return 5.0
        case _:
            assert_never(step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """A change that must wait for a holder or for the machine. None of its steps are in the plan."""

    device: PciAddress
    reason: Reason
    message: Sentence
    holders: Annotated[tuple[Holder, ...], AtMost(MANY)]
    displaces: Annotated[tuple[PciAddress, ...], AtMost(MANY)] = ()
    """Functions that exist now and that the change will remove or rebind."""
    only_links: bool = False
    """Whether only link settings wait; the rest of the PF does not wait for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PfPlan:
    """The plan of one PF: ordered steps, changes that must wait, and functions that the steps displace."""

    pf: PciAddress
    steps: Annotated[tuple[Step, ...], AtMost(MANY)]
    blocked: Annotated[tuple[Blocked, ...], AtMost(MANY)] = ()
    displaces: Annotated[tuple[PciAddress, ...], AtMost(MANY)] = ()
    """Functions that exist now and that a step removes or rebinds: withdraw them from pods first."""
    wish: WishName = ""
    """What the steps are for (core/values/tries.py): destructive steps are counted for each wish."""
    cause: Sentence | None = None
    """Why something of the PF is given back; None: nothing is."""
    policies: Annotated[tuple[Label, ...], AtMost(MOST_CLAIMS)] = field(default=(), metadata=SPARSE)
    """Policies that ask for the PF, for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks the host process for a plan, for its log; it decides nothing by that."""

    node: Label
    turn: Annotated[int, Within(0, (1 << 53) - 1)]
    """The turn of the agent's loop, counted from its start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plans of all PFs with steps or blocked changes. The same input gives the same bytes; a converged machine
    gives an empty plan."""

    pfs: Annotated[tuple[PfPlan, ...], AtMost(MANY, together="steps")]
    """Ordered by address."""
    asker: Asker | None = field(default=None, metadata=SPARSE)

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in order."""
        return tuple(step for part in self.pfs for step in part.steps)

    @property
    def blocked(self) -> tuple[Blocked, ...]:
        """All changes that must wait."""
        return tuple(blocked for part in self.pfs for blocked in part.blocked)

    @property
    def displaces(self) -> tuple[PciAddress, ...]:
        """All functions that a step removes or rebinds."""
        return tuple(address for part in self.pfs for address in part.displaces)

    @property
    def calm(self) -> "Plan":
        """The plans of PFs that displace no function: these steps need neither a turn nor withdrawal."""
        return Plan(pfs=tuple(part for part in self.pfs if not part.displaces))

    def pf(self, address: PciAddress) -> PfPlan | None:
        """Return the plan of this PF, or None if there is nothing to do."""
        return next((part for part in self.pfs if part.pf == address), None)


def plan_of(steps: Iterable[Step]) -> Plan:
    """Return a plan of these steps, PF by PF, with nothing blocked and nothing displaced."""
    return Plan(pfs=tuple(PfPlan(pf=pf, steps=tuple(alike)) for pf, alike in groupby(steps, pf_of)))


def too_often(plan: Plan) -> Step | None:
    """Return the first step that repeats an earlier one more often than any plan of ours does, or None.

    A plan writes each thing at most twice: a number of VFs goes through 0, an override is set and cleared. Only link
    settings have one step for each group.
    """
    times: Counter[tuple[object, ...]] = Counter()
    for step in plan.steps:
        aim = _aim(step)
        times[aim] += 1
        if times[aim] > (len(GROUPS) if isinstance(step, SetLink) else 2):
            return step
    return None


def _aim(step: Step) -> tuple[object, ...]:
    """Return the kind of a step and its target, without values."""
    match step:
        case LoadModule(pf=pf, module=module):
            return LoadModule, pf, module
        case SetAutoprobe() | SetNumVfs() | Settle() | Forget() | NoteClaims():
            return type(step), step.pf
        case Unbind() | SetDriverOverride() | Bind() | Probe() | SetLink() | SetMtu():
            return type(step), step.function.pf, step.function.index
        case _:
            assert_never(step)
