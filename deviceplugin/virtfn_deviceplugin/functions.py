"""Reads what sysfs shows of a function now, to compare it with what the pool file promises."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import PoolDevice
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read.sysfs import Sysfs


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The facts of sysfs and /dev about one function."""

    driver: str | None
    vfio_bound: bool
    group_node: str | None
    """Path of the group's device node, e.g. `/dev/vfio/12`; None: there is no such node."""
    cdev: str | None
    """`vfioN` where `/dev/vfio/devices/vfioN` exists."""
    container_node: bool = True
    """Whether `/dev/vfio/vfio` exists, which a container needs beside a group's node."""
    iommufd: bool = True
    """Whether `/dev/iommu` exists, which a container needs beside a cdev."""
    open_member: PciAddress | None = None
    """A function of the IOMMU group (usually this function) that a program has open through vfio. Only Allocate sets
    it, with `used_by`."""

    @property
    def lacks(self) -> str:
        """The missing device node without which a container cannot use the function; empty: none is missing."""
        if not self.vfio_bound:
            return ""
        if self.group_node is not None:
            return "" if self.container_node else "no /dev/vfio/vfio beside it"
        if self.cdev is not None:
            return "" if self.iommufd else "no /dev/iommu beside it"
        return "no device node"


def shown(sysfs: Sysfs, address: PciAddress) -> Shown:
    """Look at one function. The group is read each time, because its number changes when VFs are made anew.

    Raises:
        HostError: sysfs cannot be read, has content that no kernel writes, or a device node cannot be examined.
    """
    group = sysfs.group(address)
    node = None if group is None else sysfs.group_node(group)
    if node is not None and not _is_node(node, sysfs.read(f"{sysfs.sys}/class/vfio/{Path(node).name}/dev")):
        node = None
    cdev = sysfs.cdev(address)
    return Shown(
        driver=sysfs.bound_driver(address),
        vfio_bound=sysfs.vfio_bound(address),
        group_node=node,
        cdev=cdev if cdev is not None and _is_node(f"{sysfs.dev}/vfio/devices/{cdev}") else None,
        container_node=_is_node(f"{sysfs.dev}/vfio/vfio", sysfs.read(f"{sysfs.sys}/class/misc/vfio/dev")),
        # The plugin's container has only /dev/vfio of the node, not /dev/iommu, so sysfs is asked.
        iommufd=sysfs.has_cdevs() or _is_node(f"{sysfs.dev}/iommu"),
    )


def used_by(sysfs: Sysfs, address: PciAddress) -> PciAddress | None:
    """Return a function of the IOMMU group that a program has open through vfio, or None.

    vfio hands out whole groups, so a program that uses one member has all of them. vfio-pci raises `enable` when a
    device is opened. A missing `enable` counts as raised, because the use is then unknown.

    Raises:
        HostError: sysfs cannot be read.
    """
    group = sysfs.group(address)
    members: Iterable[PciAddress] = () if group is None else sysfs.group_members(group)
    for member in dict.fromkeys((address, *members)):
        if sysfs.vfio_bound(member) and sysfs.read(sysfs.device(member, "enable")) != "0":
            return member
    return None


def _is_node(path: str, number: str | None = None) -> bool:
    """Return whether a device node exists. A folder is not one; a regular file is one only if sysfs has no number.

    Args:
        number: `major:minor` from sysfs; None: sysfs has none, and the node's number is not compared.
    """
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SysfsReadError(path, error) from error
    if stat.S_ISCHR(found.st_mode) and number is not None:
        return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}" == number
    if stat.S_ISCHR(found.st_mode):
        return True
    return stat.S_ISREG(found.st_mode) and number is None


def as_promised(device: PoolDevice, now: Shown) -> bool:
    """Return whether a function is on its promised driver and, on a vfio driver, has every node that a pod needs."""
    return now.driver == device.driver and not now.lacks
