"""Device nodes that are not of one function, and that a policy's `grant` asks for. Pure.

A container that is promised a node which the machine lacks cannot be made. So a function is usable only while the nodes
are there that its pool gives beside it.
"""

from collections.abc import Iterator

from virtfn_host.core.checks.usable import Hindrance
from virtfn_host.core.checks.vfio_nodes import IOMMUFD
from virtfn_host.core.values.extras import Extras
from virtfn_host.core.values.model import Function, Inventory
from virtfn_host.core.values.rdma import RDMA_CM
from virtfn_host.core.values.reasons import Reason

VHOST_NET, TUN = "/dev/vhost-net", "/dev/net/tun"

NODES = {
    VHOST_NET: ("grant.vhostNet", "vhost_net"),
    TUN: ("grant.tun", "tun"),
    IOMMUFD: ("grant.iommufd", "iommufd"),
    RDMA_CM: ("grant.rdma", "rdma_ucm"),
}
"""Field of the policy and kernel module of each."""


def paths_beside(extras: Extras) -> tuple[str, ...]:
    """Return the nodes that a container gets beside those of its functions."""
    asked = {RDMA_CM: extras.rdma, VHOST_NET: extras.vhost_net, TUN: extras.tun}
    return tuple(path for path, wanted in asked.items() if wanted)


def missing_beside(extras: Extras, function: Function, inventory: Inventory) -> Iterator[Hindrance]:
    """Yield a reason for each node that is asked for and that the machine lacks."""
    iommufd = (IOMMUFD,) if extras.iommufd and function.vfio_bound else ()
    for path in (*paths_beside(extras), *iommufd):
        if path not in inventory.nodes_beside:
            field, module = NODES[path]
            text = f"has no {path} beside it, which {field} asks for"
            yield Hindrance(reason=Reason.NOT_USABLE, message=text, remedy=f"`modprobe {module}` makes it")
