"""The driver of a pool, from the drivers that the network device plugin selects VFs by."""

from collections.abc import Sequence
from dataclasses import dataclass

from virtfn_host.core.values.desired import KERNEL_DRIVER

VFIO = "vfio-pci"
UIO = frozenset({"igb_uio", "uio_pci_generic"})
"""Drivers that let a program use a function without an IOMMU; virtfn binds none of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDriver:
    """A driver, with what is to be said of it."""

    driver: str
    notes: tuple[str, ...] = ()
    open: tuple[str, ...] = ()


def pool_driver(drivers: Sequence[str], default: str) -> PoolDriver:
    """Return the driver of a pool whose VFs are on one of these drivers; `default`: where none is named."""
    if not drivers:
        text = f"drivers: none is named, so VFs of any driver were offered; the policy binds them to {default}"
        return PoolDriver(driver=default, notes=(text,))
    notes = tuple(f"drivers: {name} is not bound by virtfn; {VFIO} takes its place" for name in drivers if name in UIO)
    wanted = list(dict.fromkeys(_one(name) for name in drivers))
    if len(wanted) == 1:
        return PoolDriver(driver=wanted[0], notes=notes)
    text = f"drivers: {' and '.join(drivers)} are for different uses, and a pool has one driver: decide which"
    return PoolDriver(driver=wanted[0], notes=notes, open=(text,))


def _one(name: str) -> str:
    if name in UIO:
        return VFIO
    return name if "vfio" in name else KERNEL_DRIVER
