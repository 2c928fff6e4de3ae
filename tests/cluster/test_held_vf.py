"""A VF that a pod holds is never touched: what needs it waits, says for whom, and goes on when the pod has ended."""

from __future__ import annotations

from virtfn_lab.node import LEFT, RIGHT, Node, policy
from virtfn_lab.product import allocatable, functions, pod
from virtfn_lab.progress import say


def vfs(node: Node, pf: str) -> int:
    """How many VFs of a PF are bound to vfio-pci."""
    bus = pf[:8]
    return sum(line.startswith(bus) and "vfio-pci" in line for line in functions(node.cluster).splitlines())


def test_an_edit_waits_for_the_pod_and_converges_when_it_ends(node: Node) -> None:
    node.apply(policy("left", 5, LEFT), policy("right", 2, RIGHT))
    node.until("both pools are there", lambda: _offered(node) == (5, 2))
    node.apply(pod("holder", resource="virtfn.dev/left"))
    (held,) = node.holds("holder")
    before = functions(node.cluster)

    with node.untouched(held):
        node.edit("left", 3)
        node.until("the node waits for it", lambda: _waits_for(node, "default/holder"))
        # A pool that waits goes on serving, and so does the other.
        node.apply(pod("second", resource="virtfn.dev/left"), pod("third", resource="virtfn.dev/right"))
        assert node.holds("second") != [held]
        node.holds("third")
        assert functions(node.cluster) == before
        assert node.condition()["reason"] == "VfsInUse"
        node.until("the policy says so, too", lambda: "default/holder" in _problems(node))
        node.cluster.kubectl("delete", "pod", "second")
        assert functions(node.cluster) == before

    node.cluster.kubectl("delete", "pod", "holder")
    # 7 to 9 s with nothing beside it; a loaded machine takes longer, and only a hang is to fail here.
    seconds = node.until("3 VFs", lambda: vfs(node, LEFT) == 3, 30)
    seconds += node.until("the node says so", node.is_converged, 30)
    say(f"converged {seconds:.1f} s after the holder's end")
    node.until("3 are allocatable", lambda: _offered(node) == (3, 2))
    assert vfs(node, RIGHT) == 2


def test_deleting_the_policy_gives_a_held_vf_back_when_its_pod_ends(node: Node) -> None:
    before = functions(node.cluster)
    node.apply(policy("left", 2, LEFT))
    node.until("the pool is there", lambda: _offered(node)[0] == 2)
    node.apply(pod("holder", resource="virtfn.dev/left"))
    (held,) = node.holds("holder")
    with node.untouched(held):
        node.cluster.kubectl("delete", "svp", "left")
        node.until("the node waits", lambda: node.condition()["reason"] == "VfsInUse")
        node.until("new pods are offered nothing", lambda: _offered(node)[0] == 0)
        assert vfs(node, LEFT) == 2
    node.cluster.kubectl("delete", "pod", "holder")
    node.until("everything is given back", lambda: functions(node.cluster) == before, 30)


def _waits_for(node: Node, pod: str) -> bool:
    """One status, in which everything agrees: between two questions the node may report anew."""
    status = node.status()
    (ready,) = [c for c in status["conditions"] if c["type"] == "Ready"]
    blocked = status.get("plan", {}).get("blocked", [])
    return (
        ready["reason"] == "VfsInUse"
        and pod in ready["message"]
        and [held["pods"] for held in blocked] == [[f"pod {pod}"]]
    )


def _problems(node: Node) -> str:
    return node.cluster.kubectl("get", "svp", "left", "-o", "jsonpath={.status.problems}").stdout


def _offered(node: Node) -> tuple[int, int]:
    return allocatable(node.cluster, "virtfn.dev/left"), allocatable(node.cluster, "virtfn.dev/right")
