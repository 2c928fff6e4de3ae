"""Two pods with a VF's RDMA device each, made by rdma_rxe over the VF's netdev, send messages to each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from virtfn_lab.cluster import LabError
from virtfn_lab.consumers import example, link_up, netdev, vf
from virtfn_lab.node import Node
from virtfn_lab.product import allocatable

ADDRESSES = ("192.0.2.1", "192.0.2.2")
RULES = 10
"""Preference of the rules by which a node sends to its own addresses by wire."""


@contextmanager
def rxe(node: Node) -> Iterator[None]:
    """Within this context both VFs have an RDMA device.

    One node has both ends here. Its kernel would hand frames to its own address over without sending them, so rules
    send them out of the other VF, and let a VF take frames that come from an address of this node.
    """
    names = [netdev(node, vf(node, index)) for index in (0, 1)]
    node.shell("modprobe -a rdma_rxe rdma_ucm")
    macs = [node.shell(f"cat /sys/class/net/{name}/address").strip() for name in names]
    for here, there in ((0, 1), (1, 0)):
        name, own, other, table = names[here], ADDRESSES[here], ADDRESSES[there], 200 + here
        lines = [
            f"ip address add {own}/24 dev {name}",
            f"sysctl -qw net.ipv4.conf.{name}.accept_local=1 net.ipv4.conf.{name}.rp_filter=0",
            f"ip link set {name} up",
            f"ip neighbour replace {other} lladdr {macs[there]} dev {name} nud permanent",
            f"ip route add {other} dev {name} src {own} table {table}",
            f"ip rule add pref {RULES} iif lo to {other} lookup {table}",
            f"rdma link add rxe{here} type rxe netdev {name}",
        ]
        node.shell(" && ".join(lines))
    node.shell(f"ip rule add pref {RULES + 1} lookup local && ip rule del pref 0")
    try:
        yield
    finally:
        lines = ["ip rule add pref 0 lookup local", f"ip rule del pref {RULES + 1}"]
        for index, name in enumerate(names):
            lines += [f"rdma link delete rxe{index}", f"ip rule del pref {RULES}"]
            lines += [f"ip link set {name} down", f"ip address flush dev {name}"]
        node.shell("; ".join(lines))


def test_messages_go_both_ways(node: Node) -> None:
    node.apply(example("rdma/policy.yaml"))
    node.until("both VFs are there", lambda: node.shell("ls /sys/bus/pci/devices").count("0000:01:1") == 2)
    with link_up(node), rxe(node):
        node.until("both are allocatable", lambda: [_offered(node, name) for name in "ab"] == [1, 1])
        node.converged()
        node.apply(example("rdma/server.yaml"))
        node.until("the server runs", lambda: _field(node, "rdma-server", "phase") == "Running")
        node.apply(example("rdma/client.yaml").replace("IP-OF-SERVER", _field(node, "rdma-server", "podIP")))
        try:
            node.until("the client has ended well", lambda: _field(node, "rdma-client", "phase") == "Succeeded", 90)
        except LabError as error:
            raise LabError("\n".join([str(error), node.log("rdma-server"), node.log("rdma-client")])) from error
        for name in ("rdma-server", "rdma-client"):
            print(f"{name}:\n{node.log(name)}")
            assert re.search(r"^8192000 bytes in ", node.log(name), re.M)
        node.cluster.kubectl("delete", "pods", "--all", "--wait=true")


def _offered(node: Node, name: str) -> int:
    return allocatable(node.cluster, f"virtfn.dev/rdma-{name}")


def _field(node: Node, pod: str, name: str) -> str:
    return node.cluster.kubectl("get", "pod", pod, "-o", f"jsonpath={{.status.{name}}}").stdout
