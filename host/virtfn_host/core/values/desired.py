"""What policies ask of a node (NodeConfig), and the state that its functions should have (Desired).

Frozen values only. `policy.py` makes the first and `resolve.py` the second, with every tuple sorted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.choice import ANY, Choice
from virtfn_host.core.values.codec import SPARSE
from virtfn_host.core.values.envelope import NEEDED
from virtfn_host.core.values.extras import NOTHING, Extras
from virtfn_host.core.values.identity import Claim
from virtfn_host.core.values.indexes import Indexes, Range, read_indexes
from virtfn_host.core.values.model import LinkRequest, VfLink, of_index
from virtfn_host.core.values.names import Mtu, Parsed
from virtfn_host.core.values.reasons import Reason

KERNEL_DRIVER = "kernel"
"""The `driver` of a pool that leaves the choice of driver to the kernel."""


# --- what policies ask -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMatcher:
    """A device matcher: a PF matches when every field that is not None does. `class_code` is a prefix."""

    vendor: str | None = None
    device: str | None = None
    class_code: str | None = None
    driver: str | None = None
    address: PciAddress | None = None
    netdev: str | None = None
    numa_node: int | None = None
    # Needed: a reader that ignored one of these would match more functions than the policy means.
    permanent_mac: str | None = field(default=None, metadata=NEEDED)
    serial_number: str | None = field(default=None, metadata=NEEDED)
    slot: str | None = field(default=None, metadata=NEEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRequest:
    """VF indexes that one policy offers under one resource name; `indexes` None takes all that are left."""

    resource_name: str
    """With its domain: `virtfn.dev/fast`."""
    indexes: Annotated[Sequence[int], Parsed(read_indexes)] | None
    """Stored as ranges: one pool may name 65,535 indexes."""
    driver: str
    link: LinkRequest | None = None
    require_link: bool = False
    """Whether a VF is unhealthy while its PF is down or has no carrier."""
    choice: Choice = field(default=ANY, metadata=SPARSE)
    extras: Extras = field(default=NOTHING, metadata=SPARSE)

    def __post_init__(self) -> None:
        """Convert `indexes` to one form, so that equal requests compare equal."""
        if self.indexes is not None:
            object.__setattr__(self, "indexes", Indexes.of(self.indexes))

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The indexes as ascending ranges; empty where `indexes` is None."""
        return self.indexes.ranges if isinstance(self.indexes, Indexes) else ()

    def claimed(self, number: int) -> Sequence[int]:
        """Return the named indexes that a PF with `number` VFs has."""
        return tuple(Indexes(self.ranges).below(number))


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeRequest:
    """A request to offer the matched function itself under a resource name."""

    resource_name: str
    driver: str
    require_link: bool = False
    """Whether the function is unhealthy while its netdev is down or has no carrier."""
    choice: Choice = field(default=ANY, metadata=SPARSE)
    extras: Extras = field(default=NOTHING, metadata=SPARSE)


class WhenInUse(StrEnum):
    """What a policy wants done about pods that hold functions which it changes."""

    WAIT = "Wait"  # leave the functions alone until the pods end
    EVICT = "Evict"  # evict these pods; on a node without cluster nothing can be evicted, so it is the same as Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """One policy as it reaches a node; `count` None means that the policy leaves the number of VFs alone."""

    name: str
    uid: str
    generation: int
    devices: tuple[DeviceMatcher, ...]
    count: int | None
    pools: tuple[PoolRequest, ...]
    whole: WholeRequest | None = None
    """The whole-function request; with it, `count` is None and there are no pools."""
    allow_unsafe_no_iommu: bool = False
    """Whether functions may be handed out by vfio without an IOMMU, where the administrator told vfio so."""
    when_in_use: WhenInUse = field(default=WhenInUse.WAIT, metadata=SPARSE)
    mtu: Mtu | None = field(default=None, metadata=SPARSE)
    """Of the netdevs of VFs, and at least of their PF's; None: it is left alone."""

    @property
    def resource_names(self) -> tuple[str, ...]:
        """The full resource names that it offers."""
        return (*([self.whole.resource_name] if self.whole else []), *(pool.resource_name for pool in self.pools))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """All policies of a node, ordered by precedence, highest first."""

    policies: tuple[PolicyConfig, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A policy, or its claim on one device, that cannot be carried out until the user changes a policy."""

    policy: str
    device: str | None
    reason: Reason
    message: str


# --- what should be there --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredFunction:
    """The state that one function should have. `driver` None means no driver (only when it is given back)."""

    driver: str | None
    driver_override: str | None
    """The final `driver_override`: the vfio driver for a claimed function, the original value for one given back."""
    resource_name: str | None
    policy: str | None
    """None: the function is given back to its original state."""
    unsafe_no_iommu: bool = False
    """Whether its policy accepts vfio without an IOMMU."""
    require_link: bool = False
    """Whether it is offered only while it has a link."""
    extras: Extras = field(default=NOTHING, metadata=SPARSE)
    """What its containers get beside the usual, and the machine must have for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredVf(DesiredFunction):
    """The state that one VF should have."""

    index: int
    link: VfLink | None = None
    """Link settings that its PF should show; None: leave them alone."""
    mtu: int | None = None
    """Of its netdev, while it has one in the host's network namespace; None: leave it alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredPf:
    """The state that one PF should have."""

    address: PciAddress
    num_vfs: int | None
    """None: leave the number of VFs alone."""
    autoprobe: bool | None
    """None: leave it alone."""
    vfs: tuple[DesiredVf, ...]
    policies: tuple[str, ...]
    """Every policy with a claim on the PF; empty when the PF is given back."""
    own: DesiredFunction | None = None
    """The state of the PF's own function; None: leave it alone."""
    refused: bool = False
    """True for a PF that virtfn touched before and whose claims are all refused now, or that cannot be read: nothing
    changes, and its functions stay on offer."""
    cause: str | None = None
    """Why something of it is given back; None: nothing is."""
    mtu: int | None = None
    """The least MTU of its netdev; of a PF that is given back, its MTU. None: leave it alone."""
    ended: bool | None = False
    """Whether a claim on it ended, so that what no policy claims of it was that policy's. None: one did, but that may
    be a refused policy's, because which VFs a policy has is not noted."""

    @property
    def given_back(self) -> bool:
        """Whether no policy claims the PF any more, so that it returns to its original state."""
        return not self.policies

    def vf(self, index: int) -> DesiredVf | None:
        """Return the desired state of this VF index, or None."""
        return of_index(self.vfs, index)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimNote:
    """The claims on the function at an address that the journal should have, where it has others."""

    address: PciAddress
    claims: tuple[Claim, ...]
    adds: bool
    """Whether one of them is new; otherwise only claims that ended go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The state that a node should have: only PFs that a policy claims or that must be given back."""

    pfs: tuple[DesiredPf, ...]
    notes: tuple[ClaimNote, ...] = ()
    """By address."""
    replaced: tuple[PciAddress, ...] = ()
    """Where the journal has the original of another card than the one that is there now."""
    choices: Mapping[str, Choice] = field(default_factory=dict)
    """How functions are chosen, by resource name; those that are left out are chosen as `ANY`."""
    extras: Mapping[str, Extras] = field(default_factory=dict)
    """What containers get beside the usual, by resource name; those that are left out get nothing."""

    def pf(self, address: PciAddress) -> DesiredPf | None:
        """Return the desired state of this PF, or None."""
        return next((pf for pf in self.pfs if pf.address == address), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A difference between Desired and a fresh Inventory."""

    device: str
    reason: Reason
    message: str
