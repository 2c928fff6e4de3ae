"""Reads the RDMA devices of functions, and their device nodes.

An RDMA device belongs to a function in one of two ways:

    /sys/bus/pci/devices/0000:3b:00.2/infiniband/mlx5_3     the card's own: mlx5, irdma, bnxt_re and others
    /sys/devices/virtual/infiniband/rxe0                    of no PCI function, over a netdev of one: rdma_rxe, siw

The first is in the function's own folder, and so are its nodes: `infiniband_verbs/uverbsN`, `infiniband_mad/umadN` and
`issmN`, each with the name of its device in `ibdev` (Documentation/ABI/stable/sysfs-class-infiniband of the kernel).
Nodes of the second are in `/sys/devices/virtual`, and its netdev is the one of its first GID (`gid_attrs/ndevs/0`) or,
where it has no GID yet, in the file `parent` of rxe (measured by hand: rdma_rxe over a VF of igb, Linux 6.12).

The folder `infiniband` shows the RDMA devices of one network namespace, that in which this sysfs was mounted; those of
the nodes show all (only the class of the first has `ns_type`, drivers/infiniband/core/device.c). So the host process
finds the devices of a function, and the device plugin, which is in another namespace, looks for the nodes of these.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.names import shown_name
from virtfn_host.core.values.rdma import NODE_NAME, RdmaDevice, node_path
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.parts import is_node
from virtfn_host.linux.read.sysfs import Sysfs

CLASS = "infiniband"
NODE_CLASSES = ("infiniband_mad", "infiniband_verbs")
EXCLUSIVE = ("N", "0")
"""Texts of ib_core's parameter `netns_mode` where devices are not shared among network namespaces."""

_PORT = re.compile(r"[0-9]{1,3}")


def names_of(sysfs: OneLook, address: PciAddress, netdevs: Iterable[str]) -> tuple[str, ...]:
    """Return the names of a function's RDMA devices in the network namespace of this sysfs.

    Args:
        sysfs: the machine.
        address: of the function.
        netdevs: the function's, in that namespace.

    Raises:
        SysfsReadError: they cannot be listed.
    """
    over = sysfs.once(_over_netdevs)
    found = [*(sysfs.names(sysfs.device(address, CLASS)) or ()), *(n for dev in netdevs for n in over.get(dev, ()))]
    return tuple(sorted({name for name in found if _is_name(name)}))


def rdma_devices(sysfs: OneLook, address: PciAddress, names: Iterable[str]) -> tuple[RdmaDevice, ...]:
    """Return RDMA devices of a function with their nodes. A device of another PCI function has none here.

    Raises:
        SysfsReadError: sysfs cannot be read.
    """
    own, virtual = _nodes_below(sysfs, sysfs.device(address)), sysfs.once(_virtual_nodes)
    return tuple(
        RdmaDevice(name=name, nodes=virtual[name], virtual=True)
        if name in virtual
        else RdmaDevice(name=name, nodes=own.get(name, ()))
        for name in names
    )


def is_exclusive(sysfs: Sysfs) -> bool:
    """Return whether each RDMA device is in one network namespace only. False where that cannot be read."""
    try:
        return sysfs.read(f"{sysfs.sys}/module/ib_core/parameters/netns_mode") in EXCLUSIVE
    except SysfsReadError:
        return False


def that_are_there(sysfs: Sysfs, device: RdmaDevice) -> RdmaDevice:
    """Return an RDMA device with those of its nodes that the machine has in /dev.

    Raises:
        SysfsReadError: a node cannot be examined.
    """
    nodes = tuple(node for node in device.nodes if is_node(f"{sysfs.dev}/{node.removeprefix('/dev/')}"))
    return replace(device, nodes=nodes)


def _is_name(text: str) -> bool:
    try:
        return bool(shown_name(text))
    except ValueError:
        return False


def _nodes_below(sysfs: Sysfs, folder: str) -> Mapping[str, tuple[str, ...]]:
    """Return the nodes of the RDMA devices below a folder, by name of the device."""
    found: dict[str, list[str]] = defaultdict(list)
    for kind in NODE_CLASSES:
        for node in sysfs.names(f"{folder}/{kind}") or ():
            device = sysfs.read(f"{folder}/{kind}/{node}/ibdev") if NODE_NAME.fullmatch(node) else None
            if device:
                found[device].append(node_path(node))
    return {device: tuple(sorted(nodes, key=_by_number)) for device, nodes in found.items()}


def _by_number(node: str) -> tuple[str, int]:
    kind = node.rstrip("0123456789")
    return kind, int(node.removeprefix(kind))


def _virtual_nodes(sysfs: Sysfs) -> Mapping[str, tuple[str, ...]]:
    return _nodes_below(sysfs, f"{sysfs.sys}/devices/virtual")


def _over_netdevs(sysfs: Sysfs) -> Mapping[str, tuple[str, ...]]:
    """Return the RDMA devices of no PCI function, by netdev."""
    folder = f"{sysfs.sys}/devices/virtual/{CLASS}"
    found: dict[str, list[str]] = defaultdict(list)
    for name in sysfs.names(folder) or ():
        for netdev in {_first_netdev(sysfs, f"{folder}/{name}"), *_netdevs_of_ports(sysfs, f"{folder}/{name}/ports")}:
            if netdev:
                found[netdev].append(name)
    return {netdev: tuple(names) for netdev, names in found.items()}


def _first_netdev(sysfs: Sysfs, folder: str) -> str | None:
    return _read(sysfs, f"{folder}/parent")


def _netdevs_of_ports(sysfs: Sysfs, folder: str) -> Iterable[str | None]:
    ports = [port for port in sysfs.names(folder) or () if _PORT.fullmatch(port)]
    return [_read(sysfs, f"{folder}/{port}/gid_attrs/ndevs/0") for port in ports]


def _read(sysfs: Sysfs, path: str) -> str | None:
    """Read a name; None where there is none now: a GID that is not set answers EINVAL."""
    try:
        return sysfs.read(path)
    except SysfsReadError:
        return None
