"""Reads for `core/tell/explain.py`: one PCI function of any kind, and what the machine offers for passthrough."""

import os
from dataclasses import replace
from pathlib import Path

from virtfn_host.core.tell.explain import Described, Surroundings, described
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Function, Inventory, Pf, Vf, own_fields
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.look.identity import card_of
from virtfn_host.linux.look.inventory import BRIDGE, read_group
from virtfn_host.linux.look.preflight import alias_lines, lock_error, module_name
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.reader import Reader

TABLES = ("DMAR", "IVRS", "IORT")
PACKAGES = {
    "debian": "linux-image-{release}",
    "ubuntu": "linux-modules-{release} and linux-modules-extra-{release}",
    "fedora": "kernel-modules-{release}",
    "rhel": "kernel-modules-{release}",
    "suse": "kernel-default",
    "arch": "linux",
}
"""The package that has vfio-pci and the drivers of cards, by the ID or ID_LIKE of os-release(5)."""


def read_function(
    sysfs: Sysfs, address: PciAddress, inventory: Inventory, reader: Reader | None = None
) -> Described | None:
    """Read one function; None where there is none.

    Args:
        inventory: a look at the machine. Functions in it are taken from it, as `bind` does. Bridges and functions that
            could not be read are not in it, and are read here.
        reader: takes the reads that may hang.

    Raises:
        SysfsReadError: something of the function cannot be read.
    """
    if (known := described(inventory, address)) is not None:
        return replace(known, modalias=modalias(sysfs, address), lock_trouble=_lock_trouble(sysfs, known))
    if sysfs.names(sysfs.device(address)) is None:
        return None
    function = _kind_of(sysfs, _alone(sysfs, address, reader))
    number = function.iommu_group
    return Described(
        function=function,
        modalias=modalias(sysfs, address),
        group=None if number is None else read_group(sysfs, number),
        num_vfs=len(sysfs.vf_addresses(address)),
        bridge=function.class_code.startswith(BRIDGE),
    )


def _alone(sysfs: Sysfs, address: PciAddress, reader: Reader | None) -> Function:
    return Function(
        address=address,
        vendor=sysfs.hex_digits(address, "vendor"),
        device=sysfs.hex_digits(address, "device"),
        class_code=sysfs.hex_digits(address, "class"),
        driver=sysfs.bound_driver(address),
        driver_override=None,  # reading it may hang
        iommu_group=sysfs.group(address),
        numa_node=sysfs.numa_node(address),
        vfio_bound=sysfs.vfio_bound(address),
        netdevs=sysfs.names(sysfs.net_folder(address)) or (),
        identity=card_of(sysfs, address, reader).identity,
    )


def _kind_of(sysfs: Sysfs, alone: Function) -> Function:
    """A function as the PF or VF that it is; of a PF not more than `explain` tells."""
    own = own_fields(alone)
    pf = sysfs.pf_of(alone.address)
    siblings = sysfs.vf_addresses(pf) if pf else {}
    index = next((index for index, vf in siblings.items() if vf == alone.address), None)
    if pf is not None and index is not None:
        return Vf(**own, pf=pf, index=index)
    total = sysfs.number(sysfs.device(alone.address, "sriov_totalvfs"))
    return alone if total is None else Pf(**own, total_vfs=total, autoprobe=True, vfs=())


def modalias(sysfs: Sysfs, address: PciAddress) -> str:
    """Return the alias by which the kernel asks for a function's driver; empty where it cannot be read."""
    return _text(sysfs, sysfs.device(address, "modalias"))


def _text(sysfs: Sysfs, path: str | Path) -> str:
    """Read a text that is only shown to people; empty where it is absent or cannot be read."""
    try:
        return sysfs.read(path) or ""
    except SysfsReadError:
        return ""


def _tables(sysfs: Sysfs) -> tuple[str, ...] | None:
    try:
        return sysfs.names(sysfs.sys / "firmware/acpi/tables")
    except SysfsReadError:
        return None


def read_aliases(sysfs: Sysfs) -> str:
    """Return the module aliases of the running kernel, built-in modules included; empty where they cannot be seen."""
    try:
        return alias_lines(sysfs, str(sysfs.modules_folder()))
    except SysfsReadError:
        return ""


def read_surroundings(sysfs: Sysfs) -> Surroundings:
    """Read what the machine offers for passthrough.

    Raises:
        SysfsReadError: the IOMMUs or the drivers cannot be listed.
    """
    folder = sysfs.modules_folder()
    tables = _tables(sysfs)
    listed = "\n".join(_text(sysfs, folder / name) for name in ("modules.dep", "modules.builtin"))
    return Surroundings(
        iommus=sysfs.names(sysfs.sys / "class/iommu") or (),
        firmware_tables=None if tables is None else tuple(name for name in TABLES if name in tables),
        command_line=_text(sysfs, sysfs.proc / "cmdline"),
        modules=tuple(sorted({module_name(line) for line in listed.splitlines() if line})),
        aliases=read_aliases(sysfs),
        drivers=sysfs.names(sysfs.sys / "bus/pci/drivers") or (),
        virtual_machine="hypervisor" in _text(sysfs, sysfs.proc / "cpuinfo").split(),
        package=_package(sysfs),
    )


def _package(sysfs: Sysfs) -> str | None:
    text = _text(sysfs, sysfs.sys.parent / "etc/os-release")
    told = dict(line.replace('"', "").split("=", 1) for line in text.splitlines() if "=" in line)
    for name in f"{told.get('ID', '')} {told.get('ID_LIKE', '')}".split():
        if name in PACKAGES:
            return PACKAGES[name].format(release=sysfs.kernel_release())
    return None


def _lock_trouble(sysfs: Sysfs, known: Described) -> str | None:
    """Why the in-use lock cannot be taken from here, or None.

    The group's own node is not opened, because a pod that starts at that moment would find it busy. A kernel that made
    no node for the group has no groups of vfio: programs that have its cdev open are found in /proc.
    """
    if not known.function.vfio_bound or known.group is None:
        return None
    if not sysfs.has_group_node(known.group.number) and sysfs.cdev(known.function.address) is not None:
        return None
    node = sysfs.group_node(known.group.number)
    if not os.path.lexists(node):
        return f"there is no {node}; is /dev of the host mounted here?"
    if not os.access(node, os.R_OK | os.W_OK):
        return f"{node} may not be opened; run it as root"
    return lock_error(sysfs)
