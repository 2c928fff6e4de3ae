"""What the kubelet does not offer is in the status within 30 s, and gone within 10 s of being offered again."""

from __future__ import annotations

from typing import Any

from virtfn_lab.kubelet_cases import without_the_plugin
from virtfn_lab.node import LEFT, Node, policy
from virtfn_lab.product import allocatable
from virtfn_lab.progress import say

RESOURCE = "virtfn.dev/left"
TOLD, CLEARED = 30, 10
"""Seconds that users are promised."""

SLOW = 10
"""Seconds more for an emulated node, on which a command takes seconds."""


def reason(node: Node) -> str:
    return str(node.condition()["reason"])


def offered(node: Node) -> list[int]:
    """What the status says that the kubelet offers, by pool."""
    return [pool["offered"] for pool in node.status()["pools"]]


def problems(node: Node) -> list[str]:
    found: Any = node.cluster.get("svp", "left")
    return [problem["reason"] for problem in found["status"].get("problems", ())]


def test_a_device_plugin_that_is_gone_is_told_and_the_policy_is_not_ready(node: Node) -> None:
    node.apply(policy("left", 2, LEFT))
    node.until("the pool is there", lambda: allocatable(node.cluster, RESOURCE) == 2)
    node.converged()
    node.until("the agent has seen it", lambda: offered(node) == [2])
    with without_the_plugin(node):
        node.until("the kubelet offers none", lambda: allocatable(node.cluster, RESOURCE) == 0)
        told = node.until("it is told", lambda: reason(node) == "NotOffered", TOLD + SLOW)
        message = node.condition()["message"]
        assert f"{RESOURCE}: published 2, the kubelet offers 0; the device plugin does not run" in message
        assert offered(node) == [0]
        node.until("the policy has the problem", lambda: problems(node) == ["NotOffered"])
    node.until("the kubelet offers them again", lambda: allocatable(node.cluster, RESOURCE) == 2, 120)
    cleared = node.until("it is gone", lambda: reason(node) == "Converged", CLEARED + SLOW)
    say(f"told {told:.1f} s after the kubelet offered none, gone {cleared:.1f} s after it offered all")
