"""Reads which parts of a function are missing for a container, and whether vfio does without an IOMMU.

A part that cannot be read is an `unreadable` entry of that part.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from virtfn_host.core.checks.beside import NODES
from virtfn_host.core.checks.healthy import NVME_CLASS, NVME_DRIVER
from virtfn_host.core.checks.network import NETWORK_CLASS
from virtfn_host.core.checks.vfio_nodes import IOMMUFD, NOIOMMU
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Function, Unreadable
from virtfn_host.core.values.parts import Part
from virtfn_host.core.values.rdma import RdmaDevice
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read import rdma
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.parts import (
    cdev_with_node,
    has_guid,
    has_live_controller,
    has_netdev,
    infiniband_ports,
    is_node,
    missing_of_link,
    missing_of_ports,
    vfio_nodes,
)
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.ports import ReadAnswer, carriers, states
from virtfn_host.linux.touch.reader import Reader

_Read = Callable[[], Part | None]


def lacks(sysfs: OneLook, function: Function, unreadable: list[Unreadable]) -> tuple[Part, ...]:
    """Return the parts that are missing, but for the link; append those that cannot be read to `unreadable`."""
    found = []
    for part, read in _parts(sysfs, function):
        try:
            found.append(read())
        except SysfsReadError as error:
            lost = Unreadable(device=function.address, path=error.path, error=error.answer, part=part)
            if lost not in unreadable:  # of a VF's netdev the inventory knows already
                unreadable.append(lost)
    return tuple(part for part in found if part is not None)


def _parts(sysfs: OneLook, function: Function) -> Iterator[tuple[Part, _Read]]:
    """Yield the parts that this function should have. Nothing is read of one without a driver."""
    address = function.address
    if function.driver is None:
        return
    if function.vfio_bound:
        yield Part.NODE, lambda: vfio_nodes(sysfs, address).missing
        if sysfs.once(_has_iommufd):  # without /dev/iommu the policies that ask for the cdev lack that (`beside.py`)
            yield Part.CDEV, lambda: None if cdev_with_node(sysfs, address) else Part.CDEV
    elif function.class_code.startswith(NETWORK_CLASS):
        yield Part.NETDEV, lambda: None if has_netdev(sysfs, address) else Part.NETDEV
        yield Part.GUID, lambda: None if has_guid(sysfs, address) else Part.GUID
    elif function.class_code.startswith(NVME_CLASS) and function.driver == NVME_DRIVER:
        yield Part.CONTROLLER, lambda: None if has_live_controller(sysfs, address) else Part.CONTROLLER


def with_links_seen(
    functions: Sequence[Function], sysfs: OneLook, reader: Reader | None, unreadable: list[Unreadable]
) -> list[Function]:
    """Return functions that are no VFs with what their links lack; append links that cannot be read to `unreadable`.

    The carriers of all are read in one message: to ask for each would make a look longer.
    """
    folders = {function.address: _link_folders(sysfs, function) for function in functions}
    told = carriers(sysfs, [folder for some in folders.values() for folder in some], reader)
    return [
        _with_link(sysfs, function, {folder: told[folder] for folder in folders[function.address]}, reader, unreadable)
        for function in functions
    ]


def _link_folders(sysfs: Sysfs, function: Function) -> list[str]:
    """Return the folders of the netdevs that show a function's link."""
    if not _is_on_network_driver(function):
        return []
    return [f"{sysfs.net_folder(function.address)}/{name}" for name in function.netdevs]


def _is_on_network_driver(function: Function) -> bool:
    return function.driver is not None and not function.vfio_bound and function.class_code.startswith(NETWORK_CLASS)


def _with_link(
    sysfs: Sysfs,
    function: Function,
    told: dict[str, ReadAnswer],
    reader: Reader | None,
    unreadable: list[Unreadable],
) -> Function:
    """A netdev of IP over InfiniBand does not show the link, which is up without it: the ports do."""
    try:
        ports = infiniband_ports(sysfs, function.address) if _is_on_network_driver(function) else ()
        part = missing_of_ports(states(sysfs, ports, reader)) if ports else missing_of_link(sysfs, told)
    except SysfsReadError as error:
        lost = Unreadable(device=function.address, path=error.path, error=error.answer, part=Part.UP)
        unreadable.append(lost)
        return function
    return function if part is None else replace(function, lacks=(*function.lacks, part))


def rdma_of(sysfs: OneLook, function: Function, unreadable: list[Unreadable]) -> tuple[RdmaDevice, ...]:
    """Return the RDMA devices of a function; append what cannot be read to `unreadable`. A driver of vfio has none."""
    if not _is_on_network_driver(function):
        return ()
    try:
        names = rdma.names_of(sysfs, function.address, function.netdevs)
        found = rdma.rdma_devices(sysfs, function.address, names) if names else ()
        return tuple(rdma.that_are_there(sysfs, device) for device in found)
    except SysfsReadError as error:
        lost = Unreadable(device=function.address, path=error.path, error=error.answer, part=Part.RDMA)
        unreadable.append(lost)
        return ()


def mtu_of(sysfs: Sysfs, address: PciAddress, netdevs: Sequence[str]) -> int | None:
    """Return the MTU of a function's first netdev, its own; None where it has none, or does not tell it."""
    if not netdevs:
        return None
    try:
        return sysfs.number(f"{sysfs.net_folder(address)}/{netdevs[0]}/mtu")
    except SysfsReadError:
        return None


def nodes_beside(sysfs: Sysfs) -> tuple[str, ...]:
    """Return those device nodes that the machine has for containers beside functions. A node that cannot be examined is
    missing. The module need not be loaded: the kernel loads it when a program opens `/dev/vhost-net` or `/dev/net/tun`.
    """
    return tuple(path for path in NODES if _is_there(sysfs, path))


def _has_iommufd(sysfs: Sysfs) -> bool:
    return _is_there(sysfs, IOMMUFD)


def _is_there(sysfs: Sysfs, path: str) -> bool:
    try:
        return is_node(f"{sysfs.dev}/{path.removeprefix('/dev/')}")
    except SysfsReadError:
        return False


def does_without_iommu(sysfs: Sysfs) -> bool | None:
    """Return whether vfio does without an IOMMU; None where it cannot, or where that cannot be read."""
    try:
        return sysfs.noiommu()
    except SysfsReadError:
        return None


def without_iommu(sysfs: Sysfs, group: int) -> bool:
    """Return whether vfio made a group for a function without an IOMMU.

    If that cannot be read, neither can the group's node, and so the function is not usable.
    """
    try:
        return sysfs.group_name(group).startswith(NOIOMMU)
    except SysfsReadError:
        return False
