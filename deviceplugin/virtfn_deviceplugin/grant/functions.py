"""Reads what sysfs shows of a function now, to compare it with what the pool file promises."""

from collections.abc import Iterable

from virtfn_deviceplugin.grant.shown import Shown
from virtfn_host.core.checks.healthy import makes_netdevs
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import Grant
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.parts import has_netdev, vfio_nodes
from virtfn_host.linux.read.rdma import rdma_devices
from virtfn_host.linux.read.sysfs import Sysfs


def shown(sysfs: Sysfs, address: PciAddress, *, both: bool = False, rdma: Iterable[str] = ()) -> Shown:
    """Look at one function. The group is read each time, because its number changes when VFs are made anew.

    Args:
        sysfs: the machine.
        address: of the function.
        both: whether a container gets the cdev beside a group's node.
        rdma: names of RDMA devices that are looked for.

    Raises:
        HostError: sysfs cannot be read, has content that no kernel writes, or a device node cannot be examined.
    """
    # The plugin's container has only /dev/vfio of the node, not /dev/iommu, so sysfs is asked first.
    nodes = vfio_nodes(sysfs, address, iommufd=True if sysfs.has_cdevs() else None, both=both)
    driver = sysfs.bound_driver(address)
    return Shown(
        driver=driver,
        netdev=nodes.vfio_bound or _has_netdev(sysfs, address, driver),
        vfio_bound=nodes.vfio_bound,
        group_node=nodes.group_node,
        cdev=nodes.cdev,
        container_node=nodes.container_node,
        iommufd=nodes.iommufd,
        both=both,
        rdma=rdma_devices(OneLook.of(sysfs), address, rdma) if rdma else (),
    )


def shown_as_given(sysfs: Sysfs, given: Grant) -> Shown:
    """Look at a function that a container was given, at what it was given of it.

    Raises:
        HostError: see `shown`.
    """
    # A device of no PCI function is known by its name only, and that is given anew in each boot.
    lasting = given.boot_id == sysfs.boot_id()
    rdma = [device.name for device in given.rdma if lasting or not device.virtual]
    return shown(sysfs, given.address, both=given.extras.iommufd, rdma=rdma)


def _has_netdev(sysfs: Sysfs, address: PciAddress, driver: str | None) -> bool:
    return not makes_netdevs(driver, sysfs.hex_digits(address, "class")) or has_netdev(sysfs, address)


def used_by(sysfs: Sysfs, address: PciAddress) -> PciAddress | None:
    """Return a function of the IOMMU group that a program has open through vfio, or None.

    vfio hands out whole groups, so a program that uses one member has all of them. vfio-pci raises `enable` when a
    device is opened. A missing `enable` counts as raised, because the use is then unknown.

    Raises:
        HostError: sysfs cannot be read.
    """
    for member in members(sysfs, address):
        if sysfs.vfio_bound(member) and sysfs.read(sysfs.device(member, "enable")) != "0":
            return member
    return None


def members(sysfs: Sysfs, address: PciAddress) -> tuple[PciAddress, ...]:
    """Return the function and the others of its IOMMU group.

    Raises:
        HostError: sysfs cannot be read.
    """
    group = sysfs.group(address)
    others: Iterable[PciAddress] = () if group is None else sysfs.group_members(group)
    return tuple(dict.fromkeys((address, *others)))
