"""Reads what `core/explain.py` asks: one PCI function of any kind, and what the machine offers for passthrough."""

import os

from virtfn_host.core.address import PciAddress
from virtfn_host.core.explain import Function, Surroundings
from virtfn_host.linux.inventory import netdevs, read_group
from virtfn_host.linux.sysfs import Sysfs

TABLES = ("DMAR", "IVRS", "IORT")


def read_function(sysfs: Sysfs, address: PciAddress) -> Function | None:
    """One function, or None where there is none.

    Raises:
        SysfsReadError: something of it cannot be read.
    """
    if sysfs.names(sysfs.device(address)) is None:
        return None
    number, physfn = sysfs.group(address), sysfs.link(sysfs.device(address, "physfn"))
    pf = PciAddress.parse(physfn) if physfn else None
    siblings = sysfs.vf_addresses(pf) if pf else {}
    total = sysfs.read(sysfs.device(address, "sriov_totalvfs"))
    numa = sysfs.read(sysfs.device(address, "numa_node"))
    return Function(
        address=address,
        vendor=_hex(sysfs, address, "vendor"),
        device=_hex(sysfs, address, "device"),
        class_code=_hex(sysfs, address, "class"),
        driver=sysfs.bound_driver(address),
        driver_override=sysfs.override(address),
        modalias=sysfs.read(sysfs.device(address, "modalias")) or "",
        numa_node=None if numa is None or int(numa) < 0 else int(numa),
        group=None if number is None else read_group(sysfs, number),
        vfio_bound=sysfs.vfio_bound(address),
        pf=pf,
        index=next((index for index, vf in siblings.items() if vf == address), None),
        total_vfs=None if total is None else int(total),
        num_vfs=len(sysfs.vf_addresses(address)),
        netdevs=netdevs(sysfs, address),
    )


def read_surroundings(sysfs: Sysfs) -> Surroundings:
    """What the machine offers for passthrough.

    Raises:
        SysfsReadError: something is there and cannot be read.
    """
    release = sysfs.read(sysfs.proc / "sys/kernel/osrelease") or os.uname().release
    folder = sysfs.sys.parent / "lib/modules" / release
    tables = sysfs.names(sysfs.sys / "firmware/acpi/tables")
    listed = "\n".join(sysfs.read(folder / name) or "" for name in ("modules.dep", "modules.builtin"))
    return Surroundings(
        iommus=sysfs.names(sysfs.sys / "class/iommu") or (),
        firmware_tables=None if tables is None else tuple(name for name in TABLES if name in tables),
        command_line=sysfs.read(sysfs.proc / "cmdline") or "",
        modules=tuple(sorted({_module(line) for line in listed.splitlines() if line})),
        aliases=sysfs.read(folder / "modules.alias") or "",
        drivers=sysfs.names(sysfs.sys / "bus/pci/drivers") or (),
    )


def _module(line: str) -> str:
    """`kernel/drivers/vfio/pci/vfio-pci.ko.xz: other.ko` -> `vfio-pci`."""
    return line.partition(":")[0].rpartition("/")[2].partition(".")[0]


def _hex(sysfs: Sysfs, address: PciAddress, name: str) -> str:
    return (sysfs.read(sysfs.device(address, name)) or "").removeprefix("0x")
