"""What sysfs shows of a function at this moment: the pool file says what was promised, this says what is."""

from dataclasses import dataclass
from pathlib import Path

from virtfn_host.core.address import PciAddress
from virtfn_host.core.offered import PoolDevice
from virtfn_host.linux.sysfs import Sysfs


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
        HostError: sysfs does not answer.
    """
    group = sysfs.group(address)
    node = None if group is None else sysfs.group_node(group)
    cdevs = [
        name
        for name in sysfs.names(sysfs.device(address, "vfio-dev")) or ()
        if (sysfs.dev / "vfio/devices" / name).exists()
    ]
    return Shown(
        driver=sysfs.bound_driver(address),
        vfio_bound=sysfs.vfio_bound(address),
        group_node=node if node is not None and Path(node).exists() else None,
        cdev=cdevs[0] if cdevs else None,
    )


def as_promised(device: PoolDevice, now: Shown) -> bool:
    """Whether a function is on its promised driver and, on a vfio driver, has a node that a pod could open."""
    if now.driver != device.driver:
        return False
    return not now.vfio_bound or now.group_node is not None or now.cdev is not None
