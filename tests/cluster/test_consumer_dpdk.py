"""Two pods with a VF each of one PF send frames to each other with dpdk-testpmd."""

from __future__ import annotations

import pytest

from virtfn_lab.cluster import LabError
from virtfn_lab.consumers import Frames, example, frames, link_up, mac
from virtfn_lab.node import Node
from virtfn_lab.product import allocatable

PODS = ("dpdk-a", "dpdk-b")
WAYS = {
    "device nodes": ("dpdk/policy.yaml", "dpdk/pods.yaml"),
    "CDI": ("dpdk/policy-cdi.yaml", "dpdk/pods.yaml"),
    "CDI and not root": ("dpdk/policy-cdi.yaml", "dpdk/pods-not-root.yaml"),
}


@pytest.mark.parametrize("way", WAYS)
def test_frames_go_both_ways(node: Node, way: str) -> None:
    policy, pods = (example(path) for path in WAYS[way])
    node.apply(policy)
    node.until("both VFs are allocatable", lambda: [_offered(node, name) for name in PODS] == [1, 1])
    node.converged()
    with link_up(node):
        for name, index in (("A", 0), ("B", 1)):
            pods = pods.replace(f"MAC-OF-{name}", mac(node, index))
        node.apply(pods)
        try:
            node.until("both have sent and received", lambda: all(_both_ways(one) for one in _counted(node)), 90)
        except LabError as error:
            raise LabError("\n".join([str(error), *(node.log(name) for name in PODS)])) from error
        for name, counted in zip(PODS, _counted(node), strict=True):
            print(f"{way}: {name} received {counted.received} and sent {counted.sent} frames")
            assert counted.received > 0
            assert counted.sent > 0
        assert _user(node) == ("1000" if "not root" in way else "0")
        node.cluster.kubectl("delete", "pods", *PODS, "--wait=true")


def _counted(node: Node) -> list[Frames]:
    return [frames(node.log(name)) for name in PODS]


def _both_ways(counted: Frames) -> bool:
    return counted.received > 0 and counted.sent > 0


def _offered(node: Node, name: str) -> int:
    return allocatable(node.cluster, f"virtfn.dev/{name}")


def _user(node: Node) -> str:
    return node.cluster.shown("dpdk-a", "--", "id", "-u").strip()
