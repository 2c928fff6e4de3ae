"""The start-up taint on a real API server: it goes when the pools are offered, and nothing else of a Node changes.

The chart is upgraded with the value for these tests, and back after them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from virtfn_lab.cluster import Cluster
from virtfn_lab.node import Node, policy
from virtfn_lab.privileges import CORE, OWN, Wall, rows, tried
from virtfn_lab.product import CHART, NAMESPACE, all_ready, settings
from virtfn_lab.thief import token

TAINT = "virtfn.dev/not-ready"
NODE = f"{CORE}/nodes/{OWN}"


@pytest.fixture(scope="module")
def tainting(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster whose controller removes the taint."""
    upgrade = ("upgrade", "virtfn", str(CHART), "--namespace", NAMESPACE)
    cluster.helm(*upgrade, *settings("startupTaint.enabled=true"))
    cluster.until("every pod is ready", lambda: all_ready(cluster), 180)
    yield cluster
    cluster.helm(*upgrade, *settings())
    cluster.until("every pod is ready", lambda: all_ready(cluster), 180)


def taints(cluster: Cluster) -> set[str]:
    found: Any = cluster.get("node", OWN)
    return {taint["key"] for taint in found["spec"].get("taints", [])}


def test_it_goes_when_the_pools_are_offered_and_another_stays(tainting: Cluster, node: Node) -> None:
    tainting.kubectl("taint", "node", OWN, f"{TAINT}=:NoSchedule", "example.com/stay=:PreferNoSchedule")
    node.apply(policy("fast"))
    # The controller reads each node once a boot; another leader has read none.
    tainting.kubectl("rollout", "restart", "deployment/virtfn-controller", "-n", NAMESPACE)
    node.until("the taint is gone", lambda: TAINT not in taints(tainting), 180)
    assert "example.com/stay" in taints(tainting)
    tainting.kubectl("taint", "node", OWN, "example.com/stay-")


def test_a_controllers_token_removes_this_taint_and_changes_nothing_else(tainting: Cluster) -> None:
    ours, other = {"key": TAINT, "effect": "NoSchedule"}, {"key": "example.com/stay", "effect": "NoSchedule"}
    tokens = {"controller": token(tainting, NAMESPACE, "virtfn-controller")}
    refused = rows(
        "controller",
        Wall.POLICY,
        ("adds a taint", "PATCH", NODE, {"spec": {"taints": [other]}}),
        ("adds its own taint", "PATCH", NODE, {"spec": {"taints": [ours]}}),
        ("cordons the node", "PATCH", NODE, {"spec": {"unschedulable": True}}),
        ("changes a label", "PATCH", NODE, {"metadata": {"labels": {"a": "b"}}}),
        ("changes an annotation", "PATCH", NODE, {"metadata": {"annotations": {"a": "b"}}}),
        ("adds a finalizer", "PATCH", NODE, {"metadata": {"finalizers": ["example.com/stay"]}}),
    )
    refused += rows(
        "controller",
        Wall.RBAC,
        ("writes a Node's status", "PATCH", f"{NODE}/status", {"status": {"phase": "x"}}),
        ("deletes a Node", "DELETE", NODE),
    )
    assert tried(tainting, refused, tokens) == []
