"""The machine as it is (Inventory), as it was (Original), and the functions in use (InUse): all that the host process
sees.

The link settings that a pool asks for are here too, because those that a PF shows have the same fields.
Frozen values only; their maker sorts every tuple, so that equal machines are equal bytes.
`linux/look/inventory.py` reads the machine; `desired.py` has the wanted state, `offered.py` what pods are offered.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from itertools import islice, takewhile
from typing import Annotated, Any, Protocol, TypeVar

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import SPARSE
from virtfn_host.core.values.envelope import NEEDED
from virtfn_host.core.values.holders import Holder
from virtfn_host.core.values.identity import UNKNOWN, Claim, Identity, differs
from virtfn_host.core.values.names import AnyMtu, Guid, MacAddress, Rate, Shared, Vlan, VlanPriority
from virtfn_host.core.values.parts import Part
from virtfn_host.core.values.rdma import RdmaDevice
from virtfn_host.core.values.tries import Tried

# --- the machine as it is and as it was ------------------------------------------------------------------------------


class LinkState(StrEnum):
    """The link state that a VF sees."""

    AUTO = "auto"  # the PF's own state
    ENABLE = "enable"  # always up, so that VFs of one PF reach each other without a cable
    DISABLE = "disable"  # always down


class Lasting(StrEnum):
    """How long a MAC or GUID of a VF has to last."""

    STABLE = "Stable"  # the one that is set is kept; otherwise it is made of the PF's own and the VF's index


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """Link settings that a pool can ask for and that a PF shows of a VF."""

    vlan: Vlan | None = None
    """0: untagged."""
    vlan_qos: VlanPriority | None = None
    trust: bool | None = None
    spoof_check: bool | None = None
    min_tx_rate: Rate | None = None
    """Mbit/s; 0: no guaranteed rate."""
    max_tx_rate: Rate | None = None
    """Mbit/s; 0: no limit."""
    link_state: LinkState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRequest(LinkSettings):
    """Link settings that a pool asks for its VFs; None: not mentioned, never set."""

    mac: Lasting | None = None
    guid: Lasting | None = None
    """Node and port GUID. VFs of InfiniBand have these, and no MAC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VfLink(LinkSettings):
    """Link settings of a VF: those that its PF's netdev shows (None: the driver does not show it), or those that it
    should show (None: not mentioned)."""

    mac: MacAddress | None = None
    """The administrative address, lower case with colons; zero if none is set. An address that the VF's own network
    driver made up does not count: it changes at the next bind."""
    node_guid: Guid | None = field(default=None, metadata=SPARSE)
    port_guid: Guid | None = field(default=None, metadata=SPARSE)
    """GUIDs of an InfiniBand VF, lower case with colons; zero if none is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What tells the card at an address from another one that took its place."""

    address: PciAddress
    vendor: str
    device: str
    identity: Identity = UNKNOWN

    def is_same(self, other: "Card") -> bool:
        """Return whether both may be one card: same address and ids, and no difference in what both are known by."""
        ids = self.address, self.vendor, self.device
        return ids == (other.address, other.vendor, other.device) and not differs(self.identity, other.identity)

    def is_another(self, other: "Card") -> bool:
        """Return whether they are certainly two cards at one address: not where an id is missing."""
        known = all((self.vendor, self.device, other.vendor, other.device))
        return known and self.address == other.address and not self.is_same(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function as sysfs shows it. One that is neither `Pf` nor `Vf` has no SR-IOV and can only be handed out whole.

    `None` means that the kernel has no value there, never "could not read".
    """

    address: PciAddress
    vendor: str
    """Four hex digits, as `lspci -n` prints them."""
    device: str
    class_code: str
    """Six hex digits."""
    driver: str | None
    driver_override: str | None
    iommu_group: int | None
    numa_node: int | None
    vfio_bound: bool
    """Whether it has a `vfio-dev/` folder: true on vfio-pci and on every variant driver."""
    netdevs: tuple[str, ...]
    """Names and alternative names of its netdevs in the host's network namespace."""
    needed_for: str | None = None
    """Why this machine needs it: a mounted file system, the default route, a console; None: it does not."""
    lacks: tuple[Part, ...] = ()
    """Parts that a container needs and that are not there. Of a VF, `UP` and `CARRIER` are its PF's."""
    identity: Identity = UNKNOWN
    """What its card is known by; nothing is read of a VF."""
    mtu: AnyMtu | None = field(default=None, metadata=SPARSE)
    """Of its own netdev in the host's network namespace; None: it has none there, or does not show it."""
    rdma: tuple[RdmaDevice, ...] = field(default=(), metadata=SPARSE)
    """Its RDMA devices in the host's network namespace, with those of their nodes that the machine has."""

    @property
    def card(self) -> Card:
        """The card that it is on."""
        return Card(address=self.address, vendor=self.vendor, device=self.device, identity=self.identity)

    @property
    def family(self) -> tuple["Function", ...]:
        """Itself, and its VFs after it where it is a PF."""
        return (self,)

    @property
    def num_vfs(self) -> int:
        """Counted by `virtfnN` links: reading `sriov_numvfs` hangs behind a blocked write (docs/architecture.md)."""
        return len(self.family) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Vf(Function):
    """One VF. It has its PF's class and NUMA node: the kernel takes both from the PF (the node: measured by hand)."""

    pf: PciAddress
    """Its PF."""
    index: int
    link: VfLink | None = None
    """None: not read, or its PF has no netdev that shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pf(Function):
    """A function with SR-IOV, and its VFs by index."""

    total_vfs: int
    """The largest number of VFs that it can make (`sriov_totalvfs`)."""
    autoprobe: bool
    vfs: Annotated[tuple[Vf, ...], Shared({"pf": "address", "class_code": "class_code", "numa_node": "numa_node"})]
    netdev_up: bool | None = None
    """Whether its netdev is set up; None: not read, or it has no netdev."""
    mac: str | None = None
    """The permanent address of its netdev, which does not change in a bond; None: not read, or it has no netdev."""

    @property
    def family(self) -> tuple[Function, ...]:
        """The PF, then its VFs."""
        return (self, *self.vfs)

    def vf(self, index: int) -> Vf | None:
        """Return the VF with this index, or None."""
        return of_index(self.vfs, index)


def own_fields(function: Function) -> dict[str, Any]:
    """Return what a function of any kind has as a `Function`, to make one of another kind of it."""
    return {one.name: getattr(function, one.name) for one in fields(Function)}


def vfs_of(function: Function) -> tuple[Vf, ...]:
    """The VFs of a function by index; none where it is no PF."""
    return function.vfs if isinstance(function, Pf) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMember:
    """A device of an IOMMU group and the driver that it is bound to."""

    address: PciAddress
    driver: str | None
    vfio_bound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class IommuGroup:
    """A set of functions that VFIO hands out together. Its number changes when VFs are made anew: never an identity."""

    number: int
    members: tuple[GroupMember, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A file that exists but could not be read. Code that depends on it must not guess."""

    device: PciAddress
    path: str
    error: str
    part: Part | None = None
    """The only part that it tells of; None: without it, nothing is known of the function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The machine's PCI functions at one moment, without bridges."""

    boot_id: str
    kernel: str
    drivers: tuple[str, ...]
    """PCI drivers that are registered now (`/sys/bus/pci/drivers`); a plan loads the modules of the others."""
    functions: tuple[Function | Pf, ...]
    """Every function that is not a VF; the VFs are in their PFs."""
    groups: tuple[IommuGroup, ...]
    unreadable: tuple[Unreadable, ...]
    loadable: tuple[str, ...] | None = None
    """Drivers that modules of the running kernel could register: vfio drivers, and those of functions here that are
    not registered. None: its modules cannot be seen here."""
    noiommu: bool | None = None
    """Whether vfio may be used without an IOMMU (`enable_unsafe_noiommu_mode`). None: vfio is not loaded, or was built
    without that mode."""
    noiommu_groups: tuple[int, ...] = ()
    """Groups that vfio made for functions without an IOMMU; they protect nothing."""
    nodes_beside: tuple[str, ...] = field(default=(), metadata=SPARSE)
    """Those of `/dev/vhost-net`, `/dev/net/tun`, `/dev/iommu` and `/dev/infiniband/rdma_cm` that the machine has."""
    rdma_exclusive: bool = field(default=False, metadata=SPARSE)
    """Whether each RDMA device is in one network namespace only (`rdma system`), and not to be seen from others."""

    def __post_init__(self) -> None:
        # The search needs them sorted: a group that it missed would count as no group.
        object.__setattr__(self, "groups", tuple(sorted(self.groups, key=_group_number)))

    @property
    def pfs(self) -> tuple[Pf, ...]:
        """The functions with SR-IOV."""
        return tuple(function for function in self.functions if isinstance(function, Pf))

    @property
    def every(self) -> Iterator[Function]:
        """Every function, the VFs of a PF after it by index."""
        return (member for function in self.functions for member in function.family)

    def pf(self, address: PciAddress) -> Pf | None:
        """Return the PF at this address, or None."""
        return next((pf for pf in self.pfs if pf.address == address), None)

    def find(self, address: PciAddress) -> Function | None:
        """Return the function at this address, VF or not; None if there is none."""
        return next((function for function in self.every if function.address == address), None)

    def unprotected(self, function: Function) -> bool:
        """Whether a function is on vfio without an IOMMU: its user can read and write all memory of this machine."""
        return function.iommu_group in self.noiommu_groups

    def group(self, number: int | None) -> IommuGroup | None:
        """Return the IOMMU group with this number, or None."""
        if number is None:
            return None
        start = bisect_left(self.groups, number, key=_group_number)
        return self.groups[start] if start < len(self.groups) and self.groups[start].number == number else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalVf:
    """The state of a VF before virtfn's first touch."""

    index: int
    driver: str | None
    driver_override: str | None
    link: VfLink | None = None
    """None: not recorded (an earlier version, or not a network PF), so no link settings are given back after virtfn has
    set the number of VFs."""
    link_before: VfLink | None = field(default=None, metadata={**SPARSE, **NEEDED})
    """The link settings that virtfn has set, as they were right before; None: it has set none, or an earlier version
    made the entry, which did not note this."""
    mtu: AnyMtu | None = field(default=None, metadata={**SPARSE, **NEEDED})
    """Of its netdev, before virtfn set it for the first time; None: it never did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalOwn:
    """The state of a function before it was handed out whole. While it is, its driver and netdevs are gone."""

    driver: str | None
    driver_override: str | None
    netdevs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """The state of a PF and its VFs before the first touch; `vendor` and `device` reveal that a card was replaced."""

    address: PciAddress
    vendor: str
    device: str
    num_vfs: int
    autoprobe: bool
    vfs: tuple[OriginalVf, ...]
    own: OriginalOwn | None = None
    """None: the function itself was never touched, only its VFs."""
    identity: Identity = field(default=UNKNOWN, metadata=SPARSE)
    boot_id: str = field(default="", metadata=SPARSE)
    """The boot of the first touch. Empty: an earlier version noted it; it counts as of this boot."""
    mtu: AnyMtu | None = field(default=None, metadata={**SPARSE, **NEEDED})
    """Of the PF's netdev, before virtfn set it for the first time; None: it never did."""
    number_untouched: bool = field(default=False, metadata={**SPARSE, **NEEDED})
    """Whether virtfn has not set the number of VFs, so it is not given back (docs/decisions/0046). False: it has, or an
    earlier version made the entry, which did not note this."""

    @property
    def card(self) -> Card:
        """The card that it was on."""
        return Card(address=self.address, vendor=self.vendor, device=self.device, identity=self.identity)

    def link_back(self, vf: OriginalVf) -> VfLink | None:
        """Return the link settings of a VF that are given back: all that were noted, where virtfn has set the number of
        VFs and they were lost; otherwise only those that virtfn has set itself (docs/decisions/0010)."""
        return vf.link_before if self.number_untouched else vf.link


# --- what must not be touched ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class InUse:
    """The holders of all functions, by address. A function without a holder is free."""

    holders: tuple[Holder, ...]

    def __post_init__(self) -> None:
        # The search needs them sorted: a function whose holder it missed would count as free.
        object.__setattr__(self, "holders", tuple(sorted(self.holders, key=_held_address)))

    def of(self, address: PciAddress) -> tuple[Holder, ...]:
        """Return the holders of the function at this address; empty if it is free."""
        start = bisect_left(self.holders, address, key=_held_address)
        return tuple(takewhile(lambda holder: holder.address == address, islice(self.holders, start, None)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """A write that the kernel has not finished, ours or another program's. Until it returns, virtfn writes nothing
    more on this node."""

    path: str
    value: str
    seconds: float
    """How long it has been blocked; for another program's write, how long it has run."""
    text: str
    """A sentence: what is blocked, and the holder if one is visible. It stays the same while nothing changes."""
    held: tuple[PciAddress, ...] = ()
    """Open functions, as far as visible. A function whose removal has begun is missing in the Inventory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """Conditions for any change, beyond those that an Inventory shows."""

    lock_error: str | None = None
    """Why the in-use lock cannot be used here; None: no obstacle was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """All that the host process sees: the machine, the kernel's evidence of use, the originals of the journal."""

    inventory: Inventory
    evidence: InUse
    originals: tuple[Original, ...]
    journal_error: str | None
    """Why the journal cannot be read; while it cannot, nothing is given back and nothing new is touched."""
    stuck: Stuck | None
    preflight: Preflight = Preflight()
    tries: tuple[Tried, ...] = ()
    """What was tried on PFs that are still as they were then."""
    tries_error: str | None = None
    """Why the tries cannot be read; while they cannot, no VF is made, taken away or unbound, and no link setting or MTU
    is set."""
    claims: tuple[Claim, ...] = ()
    """Which policies have claimed which functions, as the journal has it."""


# --- searches --------------------------------------------------------------------------------------------------------


class _Indexed(Protocol):
    @property
    def index(self) -> int: ...


_V = TypeVar("_V", bound=_Indexed)


def of_index(vfs: Sequence[_V], index: int) -> _V | None:
    """Return the VF with this index, or None. Usually no VF is missing, and the index is its position."""
    if 0 <= index < len(vfs) and vfs[index].index == index:
        return vfs[index]
    return next((vf for vf in vfs if vf.index == index), None)


def _held_address(holder: Holder) -> PciAddress:
    return holder.address


def _group_number(group: IommuGroup) -> int:
    return group.number
