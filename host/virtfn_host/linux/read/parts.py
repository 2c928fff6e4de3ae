"""Reads whether the parts of a function that a container needs are there: device nodes, netdev, link, controller.

`core/checks/healthy.py` says what a missing part means. No node is opened for this: an open group would be busy for a
pod that starts at that moment, and an open cdev blocks writes (docs/architecture.md).
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Mapping

from virtfn_host.core.checks.vfio_nodes import VfioNodes
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.parts import Part
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.sysfs import Sysfs

ACTIVE = "4: ACTIVE"
"""State of an InfiniBand port that has a link and an address of the subnet manager (ib_port_state in <rdma/ib_verbs.h>;
Documentation/ABI/stable/sysfs-class-infiniband)."""

LIVE = "live"
"""State of an NVMe controller that works (nvme_state_show in drivers/nvme/host/sysfs.c)."""

ZERO = frozenset("0:")


def vfio_nodes(sysfs: Sysfs, address: PciAddress, *, iommufd: bool | None = None, both: bool = False) -> VfioNodes:
    """Look at the nodes of a function. The group is read each time: its number changes when VFs are made anew.

    Where this kernel made a node for the group, a cdev is no substitute: software that was given groups looks for one.

    Args:
        iommufd: whether `/dev/iommu` is there; None: look.
        both: whether the cdev is wanted beside a group's node.

    Raises:
        HostError: sysfs cannot be read, has content that no kernel writes, or a device node cannot be examined.
    """
    group = sysfs.group(address)
    node = None if group is None else _group_node(sysfs, group)
    # Of a function whose group's node is there, nothing else is read: this is done for each VF at each look.
    grouped = node is not None or (group is not None and sysfs.has_group_node(group))
    asked = not grouped or (both and node is not None)
    return VfioNodes(
        vfio_bound=sysfs.vfio_bound(address),
        group_node=node,
        cdev=cdev_with_node(sysfs, address) if asked else None,
        container_node=_once(sysfs, _container_node),
        iommufd=_once(sysfs, _iommufd) if iommufd is None else iommufd,
        both=both,
    )


def cdev_with_node(sysfs: Sysfs, address: PciAddress) -> str | None:
    """Return `vfioN` if a function has a cdev and `/dev/vfio/devices/vfioN` is there.

    Raises:
        SysfsReadError: sysfs cannot be read, or the node cannot be examined.
    """
    cdev = sysfs.cdev(address)
    return cdev if cdev is not None and is_node(f"{sysfs.dev}/vfio/devices/{cdev}") else None


def _group_node(sysfs: Sysfs, group: int) -> str | None:
    name = sysfs.group_name(group)
    node = f"{sysfs.dev}/vfio/{name}"
    return node if is_node(node, sysfs.read(f"{sysfs.sys}/class/vfio/{name}/dev")) else None


def _once(sysfs: Sysfs, find: Callable[[Sysfs], bool]) -> bool:
    return sysfs.once(find) if isinstance(sysfs, OneLook) else find(sysfs)


def _container_node(sysfs: Sysfs) -> bool:
    return is_node(f"{sysfs.dev}/vfio/vfio", sysfs.read(f"{sysfs.sys}/class/misc/vfio/dev"))


def _iommufd(sysfs: Sysfs) -> bool:
    return is_node(f"{sysfs.dev}/iommu", sysfs.read(f"{sysfs.sys}/class/misc/iommu/dev"))


def is_node(path: str, number: str | None = None) -> bool:
    """Return whether a device node exists. A folder is not one; a regular file is one only if sysfs has no number.

    Args:
        path: of the node.
        number: `major:minor` from sysfs; None: sysfs has none, and the node's number is not compared.

    Raises:
        SysfsReadError: it cannot be examined.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SysfsReadError(path, error) from error
    if stat.S_ISCHR(found.st_mode) and number is not None:
        return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}" == number
    if stat.S_ISCHR(found.st_mode):
        return True
    return stat.S_ISREG(found.st_mode) and number is None


def has_netdev(sysfs: Sysfs, address: PciAddress) -> bool:
    """Return whether a network function on its driver has a netdev, in whatever network namespace, or needs none.

    The folder is empty where its netdev is in another namespace (measured: tests/contract/test_netdev_names.py). A vDPA
    device takes the netdev's place. A function with an RDMA device that is not on Ethernet needs none: on InfiniBand
    another module makes them (ib_ipoib), and some have none by design (efa, hfi1), whatever their class says.

    Raises:
        SysfsReadError: it cannot be listed.
    """
    if sysfs.names(sysfs.net_folder(address)) is not None:
        return True
    if any(name.startswith("vdpa") for name in sysfs.names(sysfs.device(address)) or ()):
        return True
    folder = sysfs.device(address, "infiniband")
    return any(not _on_ethernet(sysfs, f"{folder}/{name}/ports/1") for name in sysfs.names(folder) or ())


def missing_of_link(sysfs: Sysfs, carriers: Mapping[str, str | SysfsReadError | None]) -> Part | None:
    """Return what the link of a function lacks: its best netdev counts. None: nothing, or it has no netdev here.

    Args:
        sysfs: the machine.
        carriers: what `carrier` of its netdevs answered, by the netdev's folder.

    Raises:
        SysfsReadError: a file of the netdev cannot be read.
    """
    found = [_missing_of_netdev(sysfs, folder, carrier) for folder, carrier in carriers.items()]
    return None if not found or None in found else max(found, key=(Part.UP, Part.CARRIER).index)


def infiniband_ports(sysfs: Sysfs, address: PciAddress) -> list[str]:
    """Return the folders of a function's ports that are on InfiniBand. The PCI class does not tell: some cards share it
    for both networks.

    Raises:
        SysfsReadError: they cannot be read.
    """
    folder = sysfs.device(address, "infiniband")
    devices = [f"{folder}/{name}/ports" for name in sysfs.names(folder) or ()]
    ports = [f"{ports}/{number}" for ports in devices for number in sysfs.names(ports) or ()]
    return [port for port in ports if sysfs.read(f"{port}/link_layer") == "InfiniBand"]


def missing_of_ports(states: Iterable[str | SysfsReadError | None]) -> Part | None:
    """Return what the link of an InfiniBand function lacks, from what `state` of its ports answered: its best port
    counts. None: nothing, or it shows no port.

    Raises:
        SysfsReadError: no port is known to be active, and one cannot be read.
    """
    found = list(states)
    if not found or ACTIVE in found:
        return None
    if (lost := next((one for one in found if isinstance(one, SysfsReadError)), None)) is not None:
        raise lost
    return Part.PORT


def _missing_of_netdev(sysfs: Sysfs, folder: str, carrier: str | SysfsReadError | None) -> Part | None:
    if not sysfs.netdev_up(folder):
        return Part.UP
    if isinstance(carrier, SysfsReadError):
        if carrier.errno == errno.EINVAL:  # it was set down at this moment
            return Part.UP
        raise carrier
    return Part.CARRIER if carrier == "0" else None


def has_guid(sysfs: Sysfs, address: PciAddress) -> bool:
    """Return whether the InfiniBand devices of a function have a GUID; True where it has no such device.

    On Ethernet an RDMA device needs none: VFs of ConnectX show zero until their PF sets a MAC, and work without (RoCE;
    openshift/sriov-network-operator#219).

    Raises:
        SysfsReadError: a GUID cannot be read.
    """
    folder = sysfs.device(address, "infiniband")
    names = [name for name in sysfs.names(folder) or () if not _on_ethernet(sysfs, f"{folder}/{name}/ports/1")]
    guids = [sysfs.read(f"{folder}/{name}/node_guid") for name in names]
    return not guids or any(guid is not None and set(guid) - ZERO for guid in guids)


def _on_ethernet(sysfs: Sysfs, port: str) -> bool:
    return sysfs.read(f"{port}/link_layer") == "Ethernet"


def has_live_controller(sysfs: Sysfs, address: PciAddress) -> bool:
    """Return whether an NVMe function on the nvme driver has a controller that works.

    Raises:
        SysfsReadError: its state cannot be read.
    """
    folder = sysfs.device(address, "nvme")
    return any(sysfs.read(f"{folder}/{name}/state") == LIVE for name in sysfs.names(folder) or ())
