"""listing(inventory, ...) -> one row for each function, for `virtfn list` and its `--json`.

Pure. `show.py` makes a table of the rows; `linux/` reads the facts in them.
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
    """One function with all its facts."""

    function: Function
    ids: Ids
    names: Names
    modules: tuple[str, ...]
    """Modules with a native driver for it, as `lspci -k` prints them."""
    vfio_drivers: tuple[str, ...]
    """vfio drivers for it among the running kernel's modules, the most specific first."""
    touched: bool
    """Whether the journal has its original state."""
    holders: tuple[Holder, ...]

    @property
    def pf(self) -> PciAddress | None:
        """Its PF, when it is a VF."""
        return self.function.pf if isinstance(self.function, Vf) else None

    @property
    def of_interest(self) -> bool:
        """Whether `virtfn list` shows it without `--all`: it has SR-IOV, is a VF, is on vfio, or was changed."""
        return (
            isinstance(self.function, Pf | Vf)
            or self.function.vfio_bound
            or self.touched
            or self.function.driver_override is not None
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


def ids(function: Function, modalias: str) -> Ids:
    """Return the ids of a function; those of the subsystem are in its modalias."""
    match = _SUBSYSTEM.search(modalias)
    return Ids(
        vendor=function.vendor,
        device=function.device,
        class_code=function.class_code,
        subsystem_vendor=match[1].lower() if match else None,
        subsystem_device=match[2].lower() if match else None,
    )


def stays(function: Function) -> tuple[tuple[str, str | None], ...]:
    """Return what a matcher can name that does not move with names and addresses, by its field in a policy."""
    identity = function.identity
    return ("permanentMac", identity.mac), ("serialNumber", identity.serial), ("slot", identity.slot)


def listing(inventory: Inventory, in_use: InUse, lookup: Lookup) -> tuple[Row, ...]:
    """Return a row for each function, VFs after their PF by index. Names are left empty: pci.ids is large to read."""
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
    """Return the rows to show, and the requested addresses that have no row.

    A requested PF comes with its VFs. Without addresses, the rows of interest are shown, with `everything` all.
    """
    if not addresses:
        return tuple(row for row in rows if everything or row.of_interest), ()
    shown = tuple(row for row in rows if row.function.address in addresses or row.pf in addresses)
    missing = addresses - {row.function.address for row in shown}
    return shown, tuple(sorted(missing))
