"""The in-use lock: while it is held, no program can begin to use a function, and unbinding the function does not block.

The package docstring (`linux/use/__init__.py`) says how it works and what it does not cover. Of 2,501 unbinds under the
lock, against two competing programs, none blocked (measured by hand on Linux 6.1 and 6.12; tests/kernel/guest/
test_contested.py repeats it).
"""

import errno
import os
import resource
from collections.abc import Iterable, Iterator, MutableMapping, Set
from contextlib import contextmanager
from dataclasses import replace

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, Holder, holder_text
from virtfn_host.core.values.model import InUse, Inventory
from virtfn_host.linux.errors import FunctionInUseError, HostError
from virtfn_host.linux.look import needs
from virtfn_host.linux.look.spare import refuse_needed, why_needed
from virtfn_host.linux.netlink.asks import Addresses, Netlink
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.open_nodes import OpenNodes
from virtfn_host.linux.read.sysfs import Sysfs

NO_NODE = frozenset({errno.ENOENT, errno.ENXIO, errno.ENODEV})
"""Errnos of opening a group without a device node, or with a stale node in a /dev that is not the host's."""

DRIVE_A_CARD = ("/dev/infiniband/", "/dev/vhost-vdpa-")
"""Nodes by which a process drives a network card, also while its netdev is down. An unbind waits until a vDPA node is
closed, and with some drivers for an RDMA node (`vhost_vdpa_remove`, `ib_uverbs_remove_one` in the kernel)."""


def allow_many_groups() -> None:
    """Raise the limit of open files to the hard limit.

    The lock opens every group of a PF, and a PF may have 65,535 VFs (its TotalVFs has 16 bits). The soft limit is 1,024
    nearly everywhere.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def held(sysfs: Sysfs, addresses: Iterable[PciAddress], netlink: Netlink | None = None) -> Iterator[OneLook]:
    """Take the lock on all of these functions, or on none; yield the look that was taken under it.

    Args:
        netlink: tells which netdevs have an address.

    Raises:
        NeededError: this machine needs one of them, or may need it; nothing was touched.
        FunctionInUseError: one of them is in use, or may be; nothing was touched.
    """
    wanted = sorted(addresses)
    assigned = None if netlink is None else Addresses(netlink)
    before = OneLook.of(sysfs)
    for address in wanted:
        refuse_needed(address, why_needed(before, address))
    taken: dict[int, int] = {}
    try:
        for number in sorted({number for address in wanted if (number := before.group(address)) is not None}):
            # A group without a node has no function on vfio, or this kernel makes no nodes, or this /dev is not the
            # host's. Which of the three it is shows under the lock.
            if (fd := _open_group(before, number)) is not None:
                taken[number] = fd
        # What was seen before the lock may have changed.
        locked = before.again()
        nodes = OpenNodes(locked)
        for address in wanted:
            number = _lockable(locked, address)
            if number is not None and number not in taken:
                raise _not_taken(locked, address, number)
            # While we have the group open, no other member is in use through it. A cdev is another way.
            alone = number is not None and not locked.has_cdevs()
            if found := holders(locked, address, nodes, open_files=True, addresses=assigned, alone=alone):
                text = f"{address} is in use: {holder_text(found[0])}"
                raise FunctionInUseError(f"{text}; it is left alone until that ends")
        yield locked
    finally:
        for fd in taken.values():
            os.close(fd)


def _lockable(sysfs: Sysfs, address: PciAddress) -> int | None:
    """The function's group, if vfio could hand it out and this kernel has groups to open."""
    number, bound = sysfs.group(address), sysfs.vfio_bound(address)
    if number is None:
        if bound:
            raise FunctionInUseError(f"{address} is on a vfio driver and in no IOMMU group, so its users do not show")
        return None
    on_vfio = address if bound else next(filter(sysfs.vfio_bound, sysfs.group_members(number)), None)
    if on_vfio is None or (sysfs.cdev(on_vfio) is not None and not sysfs.has_group_node(number)):
        return None
    return number


def _open_group(sysfs: Sysfs, number: int) -> int | None:
    """The group's file descriptor, or None where it has no node."""
    try:
        return sysfs.open_group(sysfs.group_node(number))
    except OSError as error:
        if error.errno in NO_NODE:
            return None
        raise _refused(sysfs, number, error) from error


def _not_taken(sysfs: Sysfs, address: PciAddress, number: int) -> FunctionInUseError:
    """Why we do not have the group of a function on vfio: it has no node, or the function came just now."""
    try:
        os.close(sysfs.open_group(sysfs.group_node(number)))
    except OSError as error:
        return _refused(sysfs, number, error)
    return FunctionInUseError(f"{address} came into another IOMMU group, or onto vfio, at this moment")


def _refused(sysfs: Sysfs, number: int, error: OSError) -> FunctionInUseError:
    node = sysfs.group_node(number)
    if error.errno == errno.EBUSY:
        return FunctionInUseError(f"IOMMU group {number} is in use: another process has {node} open")
    text = f"cannot tell whether IOMMU group {number} is in use: opening {node}: {error.strerror}"
    return FunctionInUseError(f"{text}; is /dev of the host mounted here, and is this process privileged?")


def evidence(
    sysfs: Sysfs,
    inventory: Inventory,
    *,
    name_processes: bool = False,
    users_of: Set[PciAddress] = frozenset(),
    last: MutableMapping[str, str] | None = None,
    netlink: Netlink | None = None,
) -> InUse:
    """Who uses what, as far as looking shows. No group is opened, so that no starting pod finds its group busy.

    Args:
        name_processes: name the processes that /proc shows. For people only: it reads every open file of the machine.
        users_of: name the processes that have these functions open through vfio.
        last: see `OpenNodes`.
        netlink: tells which netdevs have an address.
    """
    found: list[Holder] = []
    sysfs = OneLook.of(sysfs)
    addresses = None if netlink is None else Addresses(netlink)
    nodes = OpenNodes(sysfs, last)
    for function in inventory.every:
        found += holders(
            sysfs,
            function.address,
            nodes,
            name_processes=name_processes or function.address in users_of,
            open_files=name_processes,
            addresses=addresses,
        )
    return InUse(holders=tuple(found))


def holders(
    sysfs: Sysfs,
    address: PciAddress,
    nodes: OpenNodes | None = None,
    *,
    name_processes: bool = False,
    open_files: bool = False,
    addresses: Addresses | None = None,
    alone: bool = False,
) -> tuple[Holder, ...]:
    """The user of this function or its group that the kernel shows; a function that cannot be read counts as in use.

    Args:
        name_processes: see `evidence`.
        open_files: look in /proc also for a function on a driver that is neither vfio's nor a network driver.
        alone: no other member of its group can be in use, because we have the group open.
    """
    nodes = nodes or OpenNodes(sysfs)
    found = None
    try:
        if sysfs.vfio_bound(address):
            found = _vfio_user(sysfs, address, nodes, name_processes)
        elif sysfs.bound_driver(address) is not None:
            found = _netdev_user(sysfs, address, addresses)
            found = found or _node_user(sysfs, address, nodes if open_files else None)
        if found is None and not alone:
            found = _sibling_user(sysfs, address, nodes, name_processes)
    except HostError as error:
        found = Holder(address=address, cause=Cause.UNREADABLE, said=str(error))
    return () if found is None else (found,)


def _vfio_user(sysfs: Sysfs, address: PciAddress, nodes: OpenNodes, name_processes: bool) -> Holder | None:
    cdev = sysfs.cdev(address)
    cdev_node = None if cdev is None else f"/dev/vfio/devices/{cdev}"
    group = sysfs.group(address) if name_processes else None
    if group is not None and (process := nodes.user(f"/dev/vfio/{sysfs.group_name(group)}")):
        return Holder(address=address, cause=Cause.GROUP_OPEN, process=process)
    if name_processes and cdev_node is not None and (process := nodes.user(cdev_node)):
        return Holder(address=address, cause=Cause.CDEV_OPEN, process=process, at=cdev_node)
    # vfio_pci_core raises `enable` at open, so this is true of every variant driver, also with disable_idle_d3.
    enabled = sysfs.read(sysfs.device(address, "enable"))
    if enabled is None:
        return Holder(address=address, cause=Cause.NO_ENABLE_COUNT)
    if enabled != "0":
        return Holder(address=address, cause=Cause.ENABLED)
    # A cdev that is open but not bound shows only among the open files of its process.
    if cdev_node is not None and (process := nodes.user_among_all(cdev_node)):
        return Holder(address=address, cause=Cause.CDEV_OPEN, process=process, at=cdev_node)
    return None


def _sibling_user(sysfs: Sysfs, address: PciAddress, nodes: OpenNodes, name_processes: bool) -> Holder | None:
    """The user of another member: vfio hands out whole groups, so a user of one member uses all of them."""
    number = sysfs.group(address)
    for member in () if number is None else sysfs.group_members(number):
        if member != address and sysfs.vfio_bound(member):
            found = _vfio_user(sysfs, member, nodes, name_processes)
            if found is not None:
                return replace(found, address=address, member=member)
    return None


def _netdev_user(sysfs: Sysfs, address: PciAddress, addresses: Addresses | None) -> Holder | None:
    """The user of a function on a network driver. Nothing protects it, so everything that looks like use counts."""
    folder = sysfs.net_folder(address)
    names = sysfs.names(folder)
    if names is None:
        return None
    if not names:
        return Holder(address=address, cause=Cause.NETDEV_AWAY)
    for name in names:
        if sysfs.netdev_up(f"{folder}/{name}"):
            return Holder(address=address, cause=Cause.NETDEV_UP, at=name)
        if sysfs.link(f"{folder}/{name}/master") is not None:
            return Holder(address=address, cause=Cause.NETDEV_MASTER, at=name)
        if addresses is not None and (assigned := addresses.of(name)):
            return Holder(address=address, cause=Cause.NETDEV_ADDRESS, at=name, said=assigned[0])
    return None


def _node_user(sysfs: Sysfs, address: PciAddress, nodes: OpenNodes | None) -> Holder | None:
    """The user of a function with device nodes of its own: a mount, another driver on its disk, or a process.

    Args:
        nodes: None: look at mounts only, because finding the nodes and reading every open file takes long.
    """
    network_card = sysfs.names(sysfs.net_folder(address)) is not None
    if not network_card and (why := needs.needed_for(OneLook.of(sysfs), address)) is not None:
        return Holder(address=address, cause=Cause.NEEDED, said=why)
    if nodes is None:
        return None
    for name, held_by in sysfs.device_nodes(address).items():
        if network_card and not name.startswith(DRIVE_A_CARD):
            continue  # an open clock or sensor of a network card is no use of the card
        if held_by:
            return Holder(address=address, cause=Cause.DISK_HELD, at=name, said=held_by[0])
        if process := nodes.user_among_all(name):
            return Holder(address=address, cause=Cause.NODE_OPEN, process=process, at=name)
    return None
