"""listing(inventory, ...) -> one row for each function that is shown: what `virtfn list` prints and `--json` encodes.

Pure; `show.py` makes a table of the rows, `linux/` reads what goes into them.
"""

import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from virtfn_host.core.checks.aliases import VFIO_PCI, modules_for, vfio_drivers
from virtfn_host.core.tell.pci_ids import Ids, Names
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Holder
from virtfn_host.core.values.model import Function, InUse, Inventory, Pf, Vf

_SUBSYSTEM = re.compile(r"sv0000([0-9A-F]{4})sd0000([0-9A-F]{4})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One function, and all that is known of it."""

    function: Function
    ids: Ids
    names: Names
    modules: tuple[str, ...]
    """Modules with a driver of their own for it; what `lspci -k` prints."""
    vfio_drivers: tuple[str, ...]
    """vfio drivers for it that the running kernel has as modules, the most specific first."""
    touched: bool
    """The journal knows how it was before virtfn's first touch."""
    holders: tuple[Holder, ...]

    @property
    def pf(self) -> PciAddress | None:
        """Its PF, when it is a VF."""
        return self.function.pf if isinstance(self.function, Vf) else None

    @property
    def of_interest(self) -> bool:
        """It can make VFs, is one, is on a vfio driver, or somebody touched it."""
        return (
            isinstance(self.function, Pf | Vf)
            or self.function.vfio_bound
            or self.touched
            or self.function.driver_override is not None
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


def ids(function: Function, modalias: str) -> Ids:
    """The numbers of a function; the subsystem's stand in its modalias."""
    match = _SUBSYSTEM.search(modalias)
    return Ids(
        vendor=function.vendor,
        device=function.device,
        class_code=function.class_code,
        subsystem_vendor=match[1].lower() if match else None,
        subsystem_device=match[2].lower() if match else None,
    )


def listing(inventory: Inventory, in_use: InUse, lookup: Lookup) -> tuple[Row, ...]:
    """Every function, the VFs of a PF after it by index; without names, which cost a look into pci.ids."""
    return tuple(_row(function, in_use, lookup) for function in inventory.every)


def _row(function: Function, in_use: InUse, lookup: Lookup) -> Row:
    alias = lookup.modalias(function.address)
    return Row(
        function=function,
        ids=ids(function, alias),
        names=Names(),
        modules=modules_for(lookup.aliases, alias),
        vfio_drivers=vfio_drivers(lookup.aliases, alias),
        touched=(function.pf if isinstance(function, Vf) else function.address) in lookup.touched,
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
    shown = tuple(row for row in rows if row.function.address in addresses or row.pf in addresses)
    missing = addresses - {row.function.address for row in shown}
    return shown, tuple(sorted(missing))
