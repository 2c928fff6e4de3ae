"""listing(inventory, ...) -> one row for each function that is shown: what `virtfn list` prints and `--json` encodes.

Pure; `show.py` makes a table of the rows, `linux/` reads what goes into them.
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
    """One function, and all that is known of it."""

    address: PciAddress
    ids: Ids
    names: Names
    driver: str | None
    driver_override: str | None
    vfio_bound: bool
    modules: tuple[str, ...]
    """Modules with a driver of their own for it; what `lspci -k` prints."""
    vfio_drivers: tuple[str, ...]
    """vfio drivers for it that the running kernel has as modules, the most specific first."""
    iommu_group: int | None
    numa_node: int | None
    pf: PciAddress | None
    """Its PF, when it is a VF."""
    index: int | None
    """Its VF index."""
    total_vfs: int | None
    """None: it has no SR-IOV."""
    num_vfs: int
    netdevs: tuple[str, ...]
    touched: bool
    """The journal knows how it was before virtfn's first touch."""
    needed_for: str | None
    holders: tuple[Holder, ...]

    @property
    def of_interest(self) -> bool:
        """It can make VFs, is one, is on a vfio driver, or somebody touched it."""
        return (
            self.pf is not None
            or self.total_vfs is not None
            or self.vfio_bound
            or self.touched
            or self.driver_override is not None
        )

    @property
    def could_drive(self) -> tuple[str, ...]:
        """Modules worth a column: vfio-pci is left out, for it fits every function."""
        return tuple(dict.fromkeys((*self.modules, *(name for name in self.vfio_drivers if name != VFIO_PCI))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What rows say beyond the inventory."""

    modalias: Callable[[PciAddress], str]
    aliases: str
    """`modules.alias` of the running kernel; empty: not to be seen."""
    touched: AbstractSet[PciAddress]


def ids(vendor: str, device: str, class_code: str, modalias: str) -> Ids:
    """The numbers of a function; the subsystem's stand in its modalias."""
    match = _SUBSYSTEM.search(modalias)
    return Ids(
        vendor=vendor,
        device=device,
        class_code=class_code,
        subsystem_vendor=match[1].lower() if match else None,
        subsystem_device=match[2].lower() if match else None,
    )


def listing(inventory: Inventory, in_use: InUse, lookup: Lookup) -> tuple[Row, ...]:
    """Every function, the VFs of a PF after it by index; without names, which cost a look into pci.ids."""
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
    """The rows to show, and addresses that were asked for and are not among them.

    A PF that is named comes with its VFs; without names, those of interest, or with `everything` all.
    """
    if not addresses:
        return tuple(row for row in rows if everything or row.of_interest), ()
    shown = tuple(row for row in rows if row.address in addresses or row.pf in addresses)
    missing = addresses - {row.address for row in shown}
    return shown, tuple(sorted(missing))
