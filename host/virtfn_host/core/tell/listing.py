"""listing(inventory, ...) -> one row for each function, for `virtfn list` and its `--json`.

Pure. `show.py` makes a table of the rows; `linux/` reads the facts in them.
"""

import re
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from virtfn_host.core.checks.aliases import VFIO_PCI, modules_for, vfio_drivers
from virtfn_host.core.tell.pci_ids import Ids, Names
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Holder
from virtfn_host.core.values.model import Function, InUse, Inventory, PhysicalFunction, VirtualFunction

_SUBSYSTEM = re.compile(r"sv0000([0-9A-F]{4})sd0000([0-9A-F]{4})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One function with all its facts."""

    address: PciAddress
    ids: Ids
    names: Names
    driver: str | None
    driver_override: str | None
    vfio_bound: bool
    modules: tuple[str, ...]
    """Modules with a native driver for it, as `lspci -k` prints them."""
    vfio_drivers: tuple[str, ...]
    """vfio drivers for it among the running kernel's modules, the most specific first."""
    iommu_group: int | None
    numa_node: int | None
    pf: PciAddress | None
    """The PF of a VF; None: not a VF."""
    index: int | None
    """The VF index; None: not a VF."""
    total_vfs: int | None
    """None: it has no SR-IOV."""
    num_vfs: int
    netdevs: tuple[str, ...]
    touched: bool
    """Whether the journal has its original state."""
    needed_for: str | None
    holders: tuple[Holder, ...]

    @property
    def of_interest(self) -> bool:
        """Whether `virtfn list` shows it without `--all`: it has SR-IOV, is a VF, is on vfio, or was changed."""
        return (
            self.pf is not None
            or self.total_vfs is not None
            or self.vfio_bound
            or self.touched
            or self.driver_override is not None
        )

    @property
    def could_drive(self) -> tuple[str, ...]:
        """Modules for the MODULES column; vfio-pci is left out, because it supports every function."""
        return tuple(dict.fromkeys((*self.modules, *(name for name in self.vfio_drivers if name != VFIO_PCI))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Sources of the facts that the inventory does not have."""

    modalias: Callable[[PciAddress], str]
    aliases: str
    """`modules.alias` of the running kernel; empty: it cannot be seen here."""
    touched: AbstractSet[PciAddress]


def ids(vendor: str, device: str, class_code: str, modalias: str) -> Ids:
    """Return the ids of a function; those of the subsystem are in its modalias."""
    match = _SUBSYSTEM.search(modalias)
    return Ids(
        vendor=vendor,
        device=device,
        class_code=class_code,
        subsystem_vendor=match[1].lower() if match else None,
        subsystem_device=match[2].lower() if match else None,
    )


def listing(inventory: Inventory, in_use: InUse, lookup: Lookup) -> tuple[Row, ...]:
    """Return a row for each function, VFs after their PF by index. Names are left empty: pci.ids is large to read."""
    return tuple(_rows(inventory, in_use, lookup))


def _rows(inventory: Inventory, in_use: InUse, lookup: Lookup) -> Iterator[Row]:
    for pf in inventory.pfs:
        yield from (_row(function, pf, in_use, lookup) for function in pf.family)


def _row(function: Function, pf: PhysicalFunction, in_use: InUse, lookup: Lookup) -> Row:
    alias = lookup.modalias(function.address)
    whole = function if isinstance(function, PhysicalFunction) else None
    return Row(
        address=function.address,
        ids=ids(function.vendor, function.device, pf.class_code, alias),
        names=Names(),
        driver=function.driver,
        driver_override=function.driver_override,
        vfio_bound=function.vfio_bound,
        modules=modules_for(lookup.aliases, alias),
        vfio_drivers=vfio_drivers(lookup.aliases, alias),
        iommu_group=function.iommu_group,
        numa_node=pf.numa_node,
        pf=None if whole else pf.address,
        index=function.index if isinstance(function, VirtualFunction) else None,
        total_vfs=whole.total_vfs if whole else None,
        num_vfs=whole.num_vfs if whole else 0,
        netdevs=function.netdevs,
        touched=pf.address in lookup.touched,
        needed_for=whole.needed_for if whole else None,
        holders=in_use.of(function.address),
    )


def chosen(
    rows: tuple[Row, ...], addresses: AbstractSet[PciAddress], *, everything: bool
) -> tuple[tuple[Row, ...], tuple[PciAddress, ...]]:
    """Return the rows to show, and the requested addresses that have no row.

    A requested PF comes with its VFs. Without addresses, the rows of interest are shown, with `everything` all.
    """
    if not addresses:
        return tuple(row for row in rows if everything or row.of_interest), ()
    shown = tuple(row for row in rows if row.address in addresses or row.pf in addresses)
    missing = addresses - {row.address for row in shown}
    return shown, tuple(sorted(missing))
