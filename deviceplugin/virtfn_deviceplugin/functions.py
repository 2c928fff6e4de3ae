"""What sysfs shows of a function at this moment: the pool file says what was promised, this says what is."""

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
    """One function now."""

    driver: str | None
    vfio_bound: bool
    group_node: str | None
    """Path of the group's device node, e.g. `/dev/vfio/12`; None: there is no such node."""
    cdev: str | None
    """`vfioN` where `/dev/vfio/devices/vfioN` exists."""
    container_node: bool = True
    """Whether `/dev/vfio/vfio` is there, which is needed beside a group's node."""
    iommufd: bool = True
    """Whether `/dev/iommu` is there, which is needed beside a cdev."""
    open_member: PciAddress | None = None
    """A function of its IOMMU group, mostly itself, that a program has open through vfio. Looked for only where it
    matters, by `used_by`."""

    @property
    def lacks(self) -> str:
        """The device node without which a container cannot use it, in words; empty where nothing is missing."""
        if not self.vfio_bound:
            return ""
        if self.group_node is not None:
            return "" if self.container_node else "no /dev/vfio/vfio beside it"
        if self.cdev is not None:
            return "" if self.iommufd else "no /dev/iommu beside it"
        return "no device node"


def shown(sysfs: Sysfs, address: PciAddress) -> Shown:
    """Look at one function; the group is read each time, because its number moves when VFs are made anew.

    Raises:
        HostError: sysfs does not answer, says what no kernel says, or nobody can tell whether a node is there.
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
        # The plugin's container has the node's /dev/vfio and no more, so that sysfs has to say it.
        iommufd=sysfs.has_cdevs() or _is_node(f"{sysfs.dev}/iommu"),
    )


def used_by(sysfs: Sysfs, address: PciAddress) -> PciAddress | None:
    """A function of its IOMMU group that a program has open through vfio, or None.

    vfio hands out the group, so whoever uses one member has all of them. vfio-pci raises `enable` when a device is
    opened; one that is missing counts as raised, because nobody can tell.

    Raises:
        HostError: sysfs does not answer.
    """
    group = sysfs.group(address)
    members: Iterable[PciAddress] = () if group is None else sysfs.group_members(group)
    for member in dict.fromkeys((address, *members)):
        if sysfs.vfio_bound(member) and sysfs.read(sysfs.device(member, "enable")) != "0":
            return member
    return None


def _is_node(path: str, number: str | None = None) -> bool:
    """Whether a device node is there: a folder in its place, or a file where sysfs has a number for it, is none.

    Args:
        number: `major:minor` as sysfs has it; None: sysfs has none, and what is there is not compared.
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
    """Whether a function is on its promised driver and, on a vfio driver, has every node that a pod has to open."""
    return now.driver == device.driver and not now.lacks
