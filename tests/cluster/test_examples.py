"""Every file of examples/ does what its first line says; most with fewer VFs, which take seconds each in emulation."""

from __future__ import annotations

import re

from virtfn_lab.node import LEFT, RIGHT, Node
from virtfn_lab.paths import repository
from virtfn_lab.product import allocatable, functions

EXAMPLES = {path.name: path.read_text() for path in (repository() / "examples").glob("*.yaml")}


def fewer(name: str, count: int) -> str:
    """Return an example with another number of VFs than its 7."""
    text = EXAMPLES.pop(name)
    assert text.count("count: 7") == 1
    return text.replace("count: 7", f"count: {count}")


def test_fast_and_its_pod(node: Node) -> None:
    node.apply(EXAMPLES.pop("policy-fast.yaml"), EXAMPLES.pop("pod.yaml"))
    (held,) = node.holds("fast")
    assert held in functions(node.cluster)
    node.until("all are allocatable", lambda: allocatable(node.cluster, "virtfn.dev/fast") == 14)


def test_two_pools(node: Node) -> None:
    node.apply(EXAMPLES.pop("policy-two-pools.yaml"))
    node.until("both are allocatable", lambda: _offers(node, "virtfn.dev/fast", "virtfn.dev/plain") == [8, 6])
    node.converged()
    drivers = [line.split()[1] for line in functions(node.cluster).splitlines() if line.startswith("0000:01:1")]
    assert sorted(drivers) == ["igbvf"] * 3 + ["vfio-pci"] * 4


def test_bind_only(node: Node) -> None:
    node.shell(f"echo 3 > /sys/bus/pci/devices/{LEFT}/sriov_numvfs")
    node.apply(EXAMPLES.pop("policy-bind-only.yaml"))
    node.until("two are allocatable", lambda: _offers(node, "virtfn.dev/bound") == [2])
    node.cluster.kubectl("delete", "svp", "--all")
    node.until("they are given back", lambda: "vfio-pci" not in functions(node.cluster))
    node.converged()
    assert functions(node.cluster).count("igbvf") == 3
    node.shell(f"echo 0 > /sys/bus/pci/devices/{LEFT}/sriov_numvfs")


def test_link_settings_stay_over_a_new_number_of_vfs(node: Node) -> None:
    node.apply(fewer("policy-link.yaml", 3))
    node.until("all are allocatable", lambda: _offers(node, "virtfn.dev/tagged") == [6])
    node.converged()
    before = _shown(node)
    assert len(before) == 3
    assert all(re.search("vlan 100,.*spoof checking on", line) for line in before)
    assert len({line.split()[3] for line in before} - {"00:00:00:00:00:00,"}) == 3
    node.edit("link", 2)
    node.until("two are left of each", lambda: _offers(node, "virtfn.dev/tagged") == [4])
    node.converged()
    assert _shown(node) == before[:2]


def test_an_mtu_of_vfs_and_their_pf(node: Node) -> None:
    node.apply(fewer("policy-mtu.yaml", 2))
    node.until("all are allocatable", lambda: _offers(node, "virtfn.dev/jumbo") == [4])
    node.converged()
    mtus = node.shell("cat /sys/bus/pci/devices/0000:0[12]:*/net/*/mtu").split()
    assert mtus.count("9000") == 6
    node.cluster.kubectl("delete", "svp", "--all")
    node.converged()
    assert node.shell(f"cat /sys/bus/pci/devices/{LEFT}/net/*/mtu").split() == ["1500"]


def test_a_link_can_be_required(node: Node) -> None:
    node.apply(fewer("policy-link-required.yaml", 2))
    node.until("the node says that there is no link", lambda: "has no link" in node.condition()["message"])
    assert _offers(node, "virtfn.dev/linked") == [0]
    netdevs = [node.shell(f"ls /sys/bus/pci/devices/{pf}/net").strip() for pf in (LEFT, RIGHT)]
    node.shell("; ".join(f"ip link set {name} up" for name in netdevs))
    try:
        node.until("all are allocatable", lambda: _offers(node, "virtfn.dev/linked") == [4])
    finally:
        node.shell("; ".join(f"ip link set {name} down" for name in netdevs))


def test_node_selector(node: Node) -> None:
    node.apply(EXAMPLES.pop("policy-node-selector.yaml"))
    node.until("no node matches", lambda: "nodeSelector" in _ready_message(node))
    node.cluster.kubectl("label", "node", "node-1", "node-role.example.com/dpdk=")
    try:
        # The emulated machine has one NUMA node, which its firmware does not tell of.
        node.until("the node matches, its devices do not", lambda: "spec.devices" in _ready_message(node))
    finally:
        node.cluster.kubectl("label", "node", "node-1", "node-role.example.com/dpdk-")


def test_whole_functions_of_a_kind_that_is_not_there(node: Node) -> None:
    """The emulated node has no NVMe controller; test_whole_functions.py hands out a card that it has."""
    node.apply(EXAMPLES.pop("policy-whole.yaml"))
    node.until("no function matches", lambda: "spec.devices" in _ready_message(node, "storage"))


def test_rdma_of_a_card_that_is_not_there(node: Node) -> None:
    """The emulated cards have no RDMA; tests/unit/deviceplugin/test_rdma.py has what a pod gets of one that has."""
    node.apply(EXAMPLES.pop("policy-rdma.yaml"))
    node.until("no card matches", lambda: "spec.devices" in _ready_message(node, "rdma"))


def test_no_example_is_forgotten() -> None:
    assert EXAMPLES == {}


def _offers(node: Node, *resources: str) -> list[int]:
    return [allocatable(node.cluster, resource) for resource in resources]


def _shown(node: Node) -> list[str]:
    """What `ip link` shows of the VFs of the first PF: `vf 0 link/ether 02:... brd ..., vlan 100, spoof ...`."""
    (netdev,) = node.shell(f"ls /sys/bus/pci/devices/{LEFT}/net").split()
    lines = [line.strip() for line in node.shell(f"ip link show dev {netdev}").splitlines()]
    return [line for line in lines if line.startswith("vf ")]


def _ready_message(node: Node, policy: str = "node-selector") -> str:
    path = '{.status.conditions[?(@.type=="Ready")].message}'
    return node.cluster.kubectl("get", "svp", policy, "-o", f"jsonpath={path}").stdout
