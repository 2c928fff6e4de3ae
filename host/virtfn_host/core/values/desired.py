"""What is asked (NodeConfig), and what should be for it (Desired).

Frozen values only; every tuple is sorted by its maker. `policy.py` makes the first, `resolve.py` the second.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.indexes import Indexes, Range
from virtfn_host.core.values.model import LinkRequest, VfLink, of_index
from virtfn_host.core.values.reasons import Reason

KERNEL_DRIVER = "kernel"
"""In a pool: the driver that the kernel picks by itself."""


# --- what is asked ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMatcher:
    """A PF matches when every given field holds. `class_code` is a prefix."""

    vendor: str | None = None
    device: str | None = None
    class_code: str | None = None
    driver: str | None = None
    address: PciAddress | None = None
    netdev: str | None = None
    numa_node: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRequest:
    """VF indexes that one policy offers under one resource name; `indexes` None means all that are left."""

    resource_name: str
    """Always with its domain: `virtfn.dev/fast`."""
    indexes: Sequence[int] | None
    """Kept as ranges whatever it was made from: one pool may name 65,535."""
    driver: str
    link: LinkRequest | None = None

    def __post_init__(self) -> None:
        """One form, so that equal requests compare equal."""
        if self.indexes is not None:
            object.__setattr__(self, "indexes", Indexes.of(self.indexes))

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The indexes as ranges, ascending; none where all that are left are meant."""
        return self.indexes.ranges if isinstance(self.indexes, Indexes) else ()

    def claimed(self, number: int) -> Sequence[int]:
        """The indexes that it names, as far as a PF with so many VFs has them."""
        return tuple(Indexes(self.ranges).below(number))


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeRequest:
    """The matched function itself is offered under a resource name."""

    resource_name: str
    driver: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """One policy as it reaches a node; `count` None means that the number of VFs is somebody else's."""

    name: str
    uid: str
    generation: int
    devices: tuple[DeviceMatcher, ...]
    count: int | None
    pools: tuple[PoolRequest, ...]
    whole: WholeRequest | None = None
    """Instead of VFs; then `count` is None and there are no pools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """All policies of a node, the one that claims first first."""

    policies: tuple[PolicyConfig, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A policy, or its claim on one device, that cannot be carried out as it stands: the user must change input."""

    policy: str
    device: str | None
    reason: Reason
    message: str


# --- what should be --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredFunction:
    """A function that somebody claims. `driver` None means no driver at all (only when given back)."""

    driver: str | None
    driver_override: str | None
    """What `driver_override` should read when all is done; ours name the vfio driver, originals what they had."""
    resource_name: str | None
    policy: str | None
    """None: given back to what it was before the first touch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredVf(DesiredFunction):
    """One VF that somebody claims."""

    index: int
    link: VfLink | None = None
    """What its PF should show of it; None: left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredPf:
    """What one PF should look like."""

    address: PciAddress
    num_vfs: int | None
    """None: somebody else's number."""
    autoprobe: bool | None
    """None: leave it as it is."""
    vfs: tuple[DesiredVf, ...]
    policies: tuple[str, ...]
    """Every policy with a claim on it; empty when it is given back."""
    own: DesiredFunction | None = None
    """What the function itself should be on; None: left alone."""
    refused: bool = False
    """Every claim on it is refused, and it was touched before: it stays as it is, and offers what it did."""

    @property
    def given_back(self) -> bool:
        """No policy claims it any more: it returns to its original state."""
        return not self.policies

    def vf(self, index: int) -> DesiredVf | None:
        """The claim on this VF index, or None."""
        return of_index(self.vfs, index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What the node should look like: only PFs that somebody claims or that must be given back."""

    pfs: tuple[DesiredPf, ...]

    def pf(self, address: PciAddress) -> DesiredPf | None:
        """What is desired of this PF, or None."""
        return next((pf for pf in self.pfs if pf.address == address), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A difference between Desired and a fresh Inventory."""

    device: str
    reason: Reason
    message: str
