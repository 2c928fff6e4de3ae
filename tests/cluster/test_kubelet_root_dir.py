"""Where the kubelet has another root-dir, virtfn serves pods with one value of the chart."""

from __future__ import annotations

from virtfn_lab.node import Node
from virtfn_lab.paths import repository
from virtfn_lab.product import allocatable, functions, pod

FAST = (repository() / "examples/policy-fast.yaml").read_text()


def test_the_kubelet_moves_one_folder_and_leaves_the_other(another_node: Node, root_dir: str) -> None:
    """The counter-proof of the next test: nothing is where the chart does not look for it."""
    another_node.shell(
        f"[ -S {root_dir}/pod-resources/kubelet.sock ] && [ -S /var/lib/kubelet/device-plugins/kubelet.sock ]"
    )
    another_node.shell(f"[ ! -e /var/lib/kubelet/pod-resources ] && [ ! -e {root_dir}/device-plugins ]")


def test_a_pod_gets_its_vf_and_the_node_knows_its_holder(another_node: Node) -> None:
    """The device plugin needs the folder that stays, the agent the one that moved: only the kubelet names a holder."""
    before = functions(another_node.cluster)
    another_node.apply(FAST)
    another_node.until("14 VFs are allocatable", lambda: allocatable(another_node.cluster) == 14)
    another_node.apply(pod("holder"))
    another_node.holds("holder")
    another_node.until("the SriovNode names the holder", lambda: "default/holder" in str(another_node.status()))
    another_node.cluster.kubectl("delete", "pod", "holder")
    another_node.cluster.kubectl("delete", "svp", "fast")
    another_node.until("everything is as it was", lambda: functions(another_node.cluster) == before)
    another_node.converged()
