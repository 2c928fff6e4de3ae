"""From kubectl apply to an open VFIO group in a pod, and back."""

from __future__ import annotations

from virtfn_lab.node import LEFT, RIGHT, Node, policy
from virtfn_lab.paths import repository
from virtfn_lab.product import allocatable, functions, pod

FAST = (repository() / "examples/policy-fast.yaml").read_text()


def test_pods_get_distinct_vfs_and_open_their_groups(node: Node) -> None:
    before = functions(node.cluster)
    node.apply(FAST)
    node.until("14 VFs are allocatable", lambda: allocatable(node.cluster) == 14)
    names = [f"two-{number}" for number in range(7)]
    node.apply(*(pod(name, 2) for name in names))
    given = {name: node.holds(name, 2) for name in names}

    assert len({address for addresses in given.values() for address in addresses}) == 14
    for name, addresses in given.items():
        links = [f"/sys/bus/pci/devices/{address}/iommu_group" for address in addresses]
        groups = {link.rpartition("/")[2] for link in node.shell(f"readlink {' '.join(links)}").split()}
        opened = {line.rpartition("/")[2] for line in node.log(name).splitlines() if line.startswith("opened ")}
        assert opened == groups
    node.until("the SriovNode names every holder of every VF", lambda: _held_by(node, names))

    node.cluster.kubectl("delete", "pods", "--all")
    node.cluster.kubectl("delete", "svp", "fast")
    node.until("everything is as it was", lambda: functions(node.cluster) == before)
    assert [line.split()[:2] for line in before.splitlines()] == [[LEFT, "igb"], [RIGHT, "igb"]]


def test_a_pod_that_is_not_given_a_vf_cannot_open_one(node: Node) -> None:
    """The counter-proof of every other test here: what a pod opens, it was given."""
    node.apply(policy("fast", 1, LEFT))
    node.until("a VF is allocatable", lambda: allocatable(node.cluster) == 1)
    without = pod("without", 1).replace('"limits": {"virtfn.dev/fast": 1}', '"limits": {"memory": "64Mi"}')
    node.apply(without)
    node.until("the pod failed", lambda: _phase(node, "without") == "Failed")
    assert "opened" not in node.log("without")


def _held_by(node: Node, names: list[str]) -> bool:
    """One status: a pod's second VF may be seen later than its first."""
    status = node.status()
    return status["summary"]["inUse"] == 14 and all(f"default/{name}" in str(status) for name in names)


def _phase(node: Node, name: str) -> str:
    return node.cluster.kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}").stdout
