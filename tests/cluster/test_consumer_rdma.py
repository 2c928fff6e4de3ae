"""Two pods with a VF's RDMA device each, made by rdma_rxe over the VF's netdev, send messages to each other.

`ibv_rc_pingpong` exchanges addresses over the pods' own network. `rping` does so by the RDMA connection manager, which
finds the device by the route to an IP address, so its pods are in the network namespace that has the VFs' netdevs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from virtfn_lab.cluster import LabError
from virtfn_lab.consumers import example, link_up, netdev, vf
from virtfn_lab.node import Node
from virtfn_lab.product import allocatable

ADDRESSES = ("192.0.2.1", "192.0.2.2")
PINGS = 100
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


@pytest.fixture
def rdma(node: Node) -> Iterator[Node]:
    """A node with two VFs whose RDMA devices are offered."""
    node.apply(example("rdma/policy.yaml"))
    node.until("both VFs are there", lambda: node.shell("ls /sys/bus/pci/devices").count("0000:01:1") == 2)
    with link_up(node), rxe(node):
        node.until("both are allocatable", lambda: [_offered(node, name) for name in "ab"] == [1, 1])
        node.converged()
        yield node
        node.cluster.kubectl("delete", "pods", "--all", "--wait=true")


def test_messages_go_both_ways(rdma: Node) -> None:
    rdma.apply(example("rdma/server.yaml"))
    rdma.until("the server runs", lambda: _field(rdma, "rdma-server", "phase") == "Running")
    client = example("rdma/client.yaml").replace("IP-OF-SERVER", _field(rdma, "rdma-server", "podIP"))
    for log in _talked(rdma, client, ("rdma-server", "rdma-client")):
        assert re.search(r"^8192000 bytes in ", log, re.M)


def test_the_connection_manager_finds_the_devices_of_its_pods(rdma: Node) -> None:
    there, here = ADDRESSES
    rdma.apply(_rping("server", f"exec rping -s -a {there} -C {PINGS} -v"))
    rdma.until("the server runs", lambda: _field(rdma, "rping-server", "phase") == "Running")
    client = _rping("client", f"exec rping -c -a {there} -I {here} -C {PINGS} -v")
    for log in _talked(rdma, client, ("rping-server", "rping-client")):
        assert f"rdma-ping-{PINGS - 1}: " in log


def _rping(side: str, command: str) -> str:
    """Return the pod of an example with another program."""
    body = yaml.safe_load(example(f"rdma/{side}.yaml"))
    body["metadata"]["name"] = f"rping-{side}"
    body["spec"]["hostNetwork"] = True
    body["spec"]["containers"][0]["command"] = ["sh", "-ec", command]
    return json.dumps(body)


def _talked(node: Node, client: str, names: tuple[str, str]) -> list[str]:
    """Start the client and return both logs when both pods have ended well; then the pods are gone."""
    node.apply(client)
    try:
        node.until("both have ended well", lambda: {_field(node, name, "phase") for name in names} == {"Succeeded"}, 90)
    except LabError as error:
        raise LabError("\n".join([str(error), *map(node.log, names)])) from error
    logs = [node.log(name) for name in names]
    print(*(f"{name}:\n{log}" for name, log in zip(names, logs, strict=True)), sep="\n")
    node.cluster.kubectl("delete", "pods", *names, "--wait=true")
    return logs


def _offered(node: Node, name: str) -> int:
    return allocatable(node.cluster, f"virtfn.dev/rdma-{name}")


def _field(node: Node, pod: str, name: str) -> str:
    return node.cluster.kubectl("get", "pod", pod, "-o", f"jsonpath={{.status.{name}}}").stdout
