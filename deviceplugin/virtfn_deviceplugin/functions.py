"""What sysfs shows of a function at this moment: the pool file says what was promised, this says what is."""

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


def shown(sysfs: Sysfs, address: PciAddress) -> Shown:
    """Look at one function; the group is read each time, because its number moves when VFs are made anew.

    Raises:
        HostError: sysfs does not answer, says what no kernel says, or nobody can tell whether a node is there.
    """
    group = sysfs.group(address)
    node = None if group is None else sysfs.group_node(group)
    cdev = sysfs.cdev(address)
    return Shown(
        driver=sysfs.bound_driver(address),
        vfio_bound=sysfs.vfio_bound(address),
        group_node=node if node is not None and _is_there(node) else None,
        cdev=cdev if cdev is not None and _is_there(f"{sysfs.dev}/vfio/devices/{cdev}") else None,
    )


def _is_there(node: str) -> bool:
    try:
        Path(node).stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SysfsReadError(node, error) from error
    return True


def as_promised(device: PoolDevice, now: Shown) -> bool:
    """Whether a function is on its promised driver and, on a vfio driver, has a node that a pod could open."""
    if now.driver != device.driver:
        return False
    return not now.vfio_bound or now.group_node is not None or now.cdev is not None
