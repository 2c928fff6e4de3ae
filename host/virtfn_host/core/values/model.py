"""What is (Inventory), what was (Original) and what may not be touched (InUse): all that the host process sees.

What a pool asks of a VF's link is here too, because what is shown of one has the same fields.
Frozen values only; every tuple is sorted by its maker, so that equal machines are equal bytes.
Reading the machine is `linux/look/inventory.py`; what is wanted is `desired.py`, what pods are offered `offered.py`.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice, takewhile
from typing import Annotated, Protocol, TypeAlias, TypeVar

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Holder
from virtfn_host.core.values.names import MacAddress, Rate, Shared, Vlan, VlanPriority

# --- what is ---------------------------------------------------------------------------------------------------------


class LinkState(StrEnum):
    """What a VF sees of the link."""

    AUTO = "auto"  # the PF's own
    ENABLE = "enable"  # always up, so that VFs of one PF reach each other without a cable
    DISABLE = "disable"  # always down


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRequest:
    """Link settings that a pool asks for its VFs; None: not mentioned, keep. `{}` asks for a MAC that stays."""

    vlan: Vlan | None = None
    """0: untagged."""
    vlan_qos: VlanPriority | None = None
    trust: bool | None = None
    spoof_check: bool | None = None
    min_tx_rate: Rate | None = None
    """Mbit/s; 0: none."""
    max_tx_rate: Rate | None = None
    """Mbit/s; 0: no limit."""
    link_state: LinkState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VfLink(LinkRequest):
    """Link settings of a VF: what its PF's netdev shows (None: the driver does not say), or what it should show
    (None: not mentioned)."""

    mac: MacAddress | None = None
    """The administrative address, lower case with colons; zero where none is set. One that the VF's own network driver
    made up is none: it is another one after the next bind."""


Card: TypeAlias = tuple[PciAddress, str, str]
"""Address, vendor and device: another card may come to the address of one that was pulled out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function as sysfs shows it; one that is neither `Pf` nor `Vf` has no SR-IOV and can only be handed out whole.

    `None` means that the kernel shows nothing there, never "could not read".
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
    """Its driver owns `vfio-dev/`: true for vfio-pci and every variant driver."""
    netdevs: tuple[str, ...]
    """Names and alternative names of its netdevs as the host's network namespace shows them."""
    needed_for: str | None = None
    """What this machine cannot do without it: a mounted file system, the default route, a console."""

    @property
    def card(self) -> Card:
        """What it is known by."""
        return self.address, self.vendor, self.device

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
    """One VF. It has its PF's class and NUMA node: the kernel takes both from the PF (measured for the node)."""

    pf: PciAddress
    """Its PF."""
    index: int
    link: VfLink | None = None
    """None: not looked at, or its PF has no netdev that shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pf(Function):
    """A function with SR-IOV, and its VFs by index."""

    total_vfs: int
    """How many VFs it can make (`sriov_totalvfs`)."""
    autoprobe: bool
    vfs: Annotated[tuple[Vf, ...], Shared({"pf": "address", "class_code": "class_code", "numa_node": "numa_node"})]
    netdev_up: bool | None = None
    """Whether its netdev is set up; None: not looked at, or it has none."""
    mac: str | None = None
    """The permanent address of its netdev, which stays when it joins a bond; None as above."""

    @property
    def family(self) -> tuple[Function, ...]:
        """Itself, and its VFs after it."""
        return (self, *self.vfs)

    def vf(self, index: int) -> Vf | None:
        """The VF of this index, or None where there is none."""
        return of_index(self.vfs, index)


def vfs_of(function: Function) -> tuple[Vf, ...]:
    """The VFs of a function by index; none where it is no PF."""
    return function.vfs if isinstance(function, Pf) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMember:
    """A device of an IOMMU group and the driver that has it."""

    address: PciAddress
    driver: str | None
    vfio_bound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class IommuGroup:
    """The unit VFIO hands out. Its number is no identity: it changes when VFs are made anew."""

    number: int
    members: tuple[GroupMember, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Something that exists but could not be read; whoever depends on it must not guess."""

    device: PciAddress
    path: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """One look at the machine's PCI functions, bridges left out."""

    boot_id: str
    kernel: str
    drivers: tuple[str, ...]
    """PCI drivers that are registered now (`/sys/bus/pci/drivers`), so that a plan knows which module to load."""
    functions: tuple[Function | Pf, ...]
    """Every function that is no VF; the VFs are those of the PFs."""
    groups: tuple[IommuGroup, ...]
    unreadable: tuple[Unreadable, ...]
    loadable: tuple[str, ...] | None = None
    """vfio drivers that the running kernel's modules could bring; None: its modules are not to be seen here."""

    def __post_init__(self) -> None:
        # Sorted here too, because they are searched as sorted, and one that was missed would count as no group.
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
        """The PF at this address, or None."""
        return next((pf for pf in self.pfs if pf.address == address), None)

    def find(self, address: PciAddress) -> Function | None:
        """The function at this address, VF or not; None where there is none."""
        return next((function for function in self.every if function.address == address), None)

    def group(self, number: int | None) -> IommuGroup | None:
        """The IOMMU group of this number, or None."""
        if number is None:
            return None
        start = bisect_left(self.groups, number, key=_group_number)
        return self.groups[start] if start < len(self.groups) and self.groups[start].number == number else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalVf:
    """How a VF was before the first touch."""

    index: int
    driver: str | None
    driver_override: str | None
    link: VfLink | None = None
    """None: not noted (an earlier version, or no network PF), so nothing of it is given back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalOwn:
    """How a function itself was before it was handed out whole; its driver and netdevs are gone while it is."""

    driver: str | None
    driver_override: str | None
    netdevs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """How a PF and its VFs were before the first touch; `vendor` and `device` tell a replaced card from the old one."""

    address: PciAddress
    vendor: str
    device: str
    num_vfs: int
    autoprobe: bool
    vfs: tuple[OriginalVf, ...]
    own: OriginalOwn | None = None
    """None: the function itself was never touched, only its VFs."""

    @property
    def card(self) -> Card:
        """Which card it tells of."""
        return self.address, self.vendor, self.device


# --- what may not be touched -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class InUse:
    """Who holds what, by address; a function without an entry is free."""

    holders: tuple[Holder, ...]

    def __post_init__(self) -> None:
        # Sorted here too, because they are searched as sorted, and one that was missed would count as free.
        object.__setattr__(self, "holders", tuple(sorted(self.holders, key=_held_address)))

    def of(self, address: PciAddress) -> tuple[Holder, ...]:
        """Who holds the function at this address; empty when it is free."""
        start = bisect_left(self.holders, address, key=_held_address)
        return tuple(takewhile(lambda holder: holder.address == address, islice(self.holders, start, None)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """A write, ours or somebody else's, that is still inside the kernel: no further PCI writes on this node."""

    path: str
    value: str
    seconds: float
    """How long it has been blocked, or still running where it is somebody else's."""
    text: str
    """A sentence: what is blocked, and who holds it, where that is visible. The same as long as nothing changes."""
    held: tuple[PciAddress, ...] = ()
    """Functions that are open, as far as it shows; one whose removal has begun is in no Inventory any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """What has to be so before anything may be changed, beside what an Inventory shows."""

    lock_error: str | None = None
    """Why the in-use lock cannot be used here; None: it can, as far as looking shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the host process sees: the machine, the kernel's evidence of use, and the originals of its journal."""

    inventory: Inventory
    evidence: InUse
    originals: tuple[Original, ...]
    journal_error: str | None
    """The journal exists and cannot be read: nothing may be given back, nothing new may be touched."""
    stuck: Stuck | None
    preflight: Preflight = Preflight()


# --- looking things up -----------------------------------------------------------------------------------------------


class _Indexed(Protocol):
    @property
    def index(self) -> int: ...


_V = TypeVar("_V", bound=_Indexed)


def of_index(vfs: Sequence[_V], index: int) -> _V | None:
    """Where no VF is missing, which is the rule, the index is the place."""
    if 0 <= index < len(vfs) and vfs[index].index == index:
        return vfs[index]
    return next((vf for vf in vfs if vf.index == index), None)


def _held_address(holder: Holder) -> PciAddress:
    return holder.address


def _group_number(group: IommuGroup) -> int:
    return group.number
