"""What policies ask of a node (NodeConfig), and the state that its functions should have (Desired).

Frozen values only. `policy.py` makes the first and `resolve.py` the second, with every tuple sorted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.indexes import Indexes, Range
from virtfn_host.core.values.model import LinkRequest, VfLink, of_index
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRequest:
    """VF indexes that one policy offers under one resource name; `indexes` None takes all that are left."""

    resource_name: str
    """With its domain: `virtfn.dev/fast`."""
    indexes: Sequence[int] | None
    """Stored as ranges: one pool may name 65,535 indexes."""
    driver: str
    link: LinkRequest | None = None

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


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredVf(DesiredFunction):
    """The state that one VF should have."""

    index: int
    link: VfLink | None = None
    """Link settings that its PF should show; None: leave them alone."""


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
    """True for a PF that virtfn touched before and whose claims are all refused now: nothing changes, and its
    functions stay on offer."""

    @property
    def given_back(self) -> bool:
        """Whether no policy claims the PF any more, so that it returns to its original state."""
        return not self.policies

    def vf(self, index: int) -> DesiredVf | None:
        """Return the desired state of this VF index, or None."""
        return of_index(self.vfs, index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The state that a node should have: only PFs that a policy claims or that must be given back."""

    pfs: tuple[DesiredPf, ...]

    def pf(self, address: PciAddress) -> DesiredPf | None:
        """Return the desired state of this PF, or None."""
        return next((pf for pf in self.pfs if pf.address == address), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A difference between Desired and a fresh Inventory."""

    device: str
    reason: Reason
    message: str
