"""The in-use lock: while it is held, nobody can begin to use a function, and unbinding it does not block.

Opening `/dev/vfio/GROUP` is exclusive: EBUSY means somebody has it, success means nobody else can start. Measured:
2,501 cycles against two competitors, not one blocked write. It has no effect on the device. Unknown counts as in use.

A kernel with cdevs lets a program open `/dev/vfio/devices/vfioN` all the same, though not use it: whoever has one open
is looked for in /proc after the lock is taken. A kernel without groups gives no lock at all: there, looking is all that
can be done, and a program that comes after the look blocks the write until it ends.
"""

import errno
import os
import resource
from collections.abc import Iterable, Iterator
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
"""What opening a group says where it has no node, or one that was left over in a /dev of its own."""


def allow_many_groups() -> None:
    """Let this process open as many files as it ever may: the lock opens every group of a PF, a PF may have 65,535 VFs
    (its TotalVFs has 16 bits), and the soft limit is 1,024 nearly everywhere.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def held(sysfs: Sysfs, addresses: Iterable[PciAddress], netlink: Netlink | None = None) -> Iterator[OneLook]:
    """Take the lock on all of these functions, or on none; yields the look that was taken under it.

    Args:
        netlink: tells which netdevs have an address.

    Raises:
        NeededError: this machine needs one of them, or it cannot be told; nothing was touched.
        FunctionInUseError: somebody has one of them, or it cannot be told; nothing was touched.
    """
    wanted = sorted(addresses)
    assigned = None if netlink is None else Addresses(netlink)
    before = OneLook.of(sysfs)
    for address in wanted:
        refuse_needed(address, why_needed(before, address))
    taken: dict[int, int] = {}
    try:
        for number in sorted({number for address in wanted if (number := before.group(address)) is not None}):
            # A group without a node has nobody on vfio, or this kernel makes none, or this /dev is not the host's;
            # which, is seen under the lock.
            if (fd := _open_group(before, number)) is not None:
                taken[number] = fd
        # A new look: what was seen before the lock may have changed.
        locked = before.again()
        nodes = OpenNodes(locked)
        for address in wanted:
            number = _lockable(locked, address)
            if number is not None and number not in taken:
                raise _not_taken(locked, address, number)
            # The others of a group that we have open cannot be in use through it; a cdev is another way.
            alone = number is not None and not locked.has_cdevs()
            if found := holders(locked, address, nodes, open_files=True, addresses=assigned, alone=alone):
                text = f"{address} is in use: {holder_text(found[0])}"
                raise FunctionInUseError(f"{text}; it is left alone until that ends")
        yield locked
    finally:
        for fd in taken.values():
            os.close(fd)


def _lockable(sysfs: Sysfs, address: PciAddress) -> int | None:
    """The group of a function, if vfio could hand it out and this kernel has groups to open."""
    number, bound = sysfs.group(address), sysfs.vfio_bound(address)
    if number is None:
        if bound:
            raise FunctionInUseError(f"{address} is on a vfio driver and in no IOMMU group, so nobody can tell")
        return None
    on_vfio = address if bound else next(filter(sysfs.vfio_bound, sysfs.group_members(number)), None)
    if on_vfio is None or (sysfs.cdev(on_vfio) is not None and not sysfs.has_group_node(number)):
        return None
    return number


def _open_group(sysfs: Sysfs, number: int) -> int | None:
    """Its file descriptor, or None where it has no node."""
    try:
        return sysfs.open_group(sysfs.group_node(number))
    except OSError as error:
        if error.errno in NO_NODE:
            return None
        raise _refused(sysfs, number, error) from error


def _not_taken(sysfs: Sysfs, address: PciAddress, number: int) -> FunctionInUseError:
    """Why the group of a function on vfio is not ours, though nobody had it: no node, or it came just now."""
    try:
        os.close(sysfs.open_group(sysfs.group_node(number)))
    except OSError as error:
        return _refused(sysfs, number, error)
    return FunctionInUseError(f"{address} came into another IOMMU group, or onto vfio, at this moment")


def _refused(sysfs: Sysfs, number: int, error: OSError) -> FunctionInUseError:
    node = sysfs.group_node(number)
    if error.errno == errno.EBUSY:
        return FunctionInUseError(f"IOMMU group {number} is in use: somebody has {node} open")
    text = f"cannot tell whether IOMMU group {number} is in use: opening {node}: {error.strerror}"
    return FunctionInUseError(f"{text}; is /dev of the host mounted here, and is this process privileged?")


def evidence(
    sysfs: Sysfs, inventory: Inventory, *, name_processes: bool = False, netlink: Netlink | None = None
) -> InUse:
    """Who uses what, as far as looking shows: no group is opened, so that a pod that starts is never in its way.

    Args:
        name_processes: look in /proc for who it is; for people, because it reads every open file of the machine.
        netlink: asked which netdevs have an address.
    """
    found: list[Holder] = []
    sysfs = OneLook.of(sysfs)
    addresses = None if netlink is None else Addresses(netlink)
    nodes = OpenNodes(sysfs)
    for function in inventory.every:
        found += holders(
            sysfs,
            function.address,
            nodes,
            name_processes=name_processes,
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
    """What the kernel shows of a user of this function or its group; one that cannot be read counts as used.

    Args:
        name_processes: see `evidence`.
        open_files: look in /proc also for a function on a driver that is neither vfio's nor a network driver.
        alone: nobody else of its group can be in use, because we have the group open.
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
    # `enable` is raised at open by vfio_pci_core, so it holds for every variant driver, also with disable_idle_d3.
    enabled = sysfs.read(sysfs.device(address, "enable"))
    if enabled is None:
        return Holder(address=address, cause=Cause.NO_ENABLE_COUNT)
    if enabled != "0":
        return Holder(address=address, cause=Cause.ENABLED)
    # A cdev that is open and not bound shows nowhere but among the open files of its process.
    if cdev_node is not None and (process := nodes.user_among_all(cdev_node)):
        return Holder(address=address, cause=Cause.CDEV_OPEN, process=process, at=cdev_node)
    return None


def _sibling_user(sysfs: Sysfs, address: PciAddress, nodes: OpenNodes, name_processes: bool) -> Holder | None:
    """The group is what vfio hands out: a user of one member has all of them."""
    number = sysfs.group(address)
    for member in () if number is None else sysfs.group_members(number):
        if member != address and sysfs.vfio_bound(member):
            found = _vfio_user(sysfs, member, nodes, name_processes)
            if found is not None:
                return replace(found, address=address, member=member)
    return None


def _netdev_user(sysfs: Sysfs, address: PciAddress, addresses: Addresses | None) -> Holder | None:
    """A VF on a network driver: nothing protects it, so whatever looks like use counts as use."""
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
    """A function with device nodes of its own (disks, displays, accelerators): mounted, or open in a process.

    Args:
        nodes: None: only mounts are looked at, because reading every open file of the machine costs.
    """
    if sysfs.names(sysfs.net_folder(address)) is not None:
        return None  # what else a network card has (a clock, sensors) is no use of it
    if (why := needs.needed_for(OneLook.of(sysfs), address)) is not None:
        return Holder(address=address, cause=Cause.NEEDED, said=why)
    if nodes is None:
        return None
    for name in sysfs.device_nodes(address):
        if process := nodes.user(name):
            return Holder(address=address, cause=Cause.NODE_OPEN, process=process, at=name)
    return None
