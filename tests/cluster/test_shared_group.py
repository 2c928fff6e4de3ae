"""Two functions that share an IOMMU group: never two pods have one of them each, and `kubectl describe` says why."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from virtfn_lab.node import Node
from virtfn_lab.product import allocatable, functions, pod

FIRST, SECOND = "0000:03:00.0", "0000:03:00.1"
"""The two e1000e functions of the topology `contract`."""


@pytest.fixture
def node(another_node: Node) -> Iterator[Node]:
    """The same without policies and pods, at the start and at the end."""
    before = functions(another_node.cluster)
    yield another_node
    another_node.cluster.kubectl("delete", "pods", "--all", "--wait=true")
    another_node.cluster.kubectl("delete", "svp", "--all")
    another_node.until("everything is given back", lambda: functions(another_node.cluster) == before, 90)
    another_node.converged()


def whole(name: str, **matcher: str) -> str:
    spec = {"devices": [matcher], "wholeFunctions": {"resourceName": name}}
    document = {"apiVersion": "virtfn.dev/v1alpha1", "kind": "SriovPolicy", "metadata": {"name": name}, "spec": spec}
    return json.dumps(document)


def described(node: Node) -> str:
    return node.cluster.kubectl("describe", "svn", "node-1").stdout


def phase(node: Node, name: str) -> str:
    return node.cluster.kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}").stdout


def test_in_one_pool_one_of_them_is_offered_and_the_reason_is_in_describe(node: Node) -> None:
    node.apply(whole("pair", vendor="8086", device="10d3"))
    node.until("one is allocatable", lambda: allocatable(node.cluster, "virtfn.dev/pair") == 1)
    (pool,) = node.status()["pools"]
    assert (pool["capacity"], pool["healthy"]) == (2, 1)
    text = described(node)
    assert "NotUsable" in text
    assert f"{SECOND}" in text
    assert "shares IOMMU group" in text
    assert f"with {FIRST}, which virtfn.dev/pair offers" in text


def test_two_pods_never_have_one_each(node: Node) -> None:
    node.apply(whole("pair", vendor="8086", device="10d3"))
    node.until("one is allocatable", lambda: allocatable(node.cluster, "virtfn.dev/pair") == 1)
    node.apply(pod("first", 1, "virtfn.dev/pair"), pod("second", 1, "virtfn.dev/pair"))
    node.until("one of them runs", lambda: "Running" in (phase(node, "first"), phase(node, "second")), 90)
    running, waiting = ("first", "second") if phase(node, "first") == "Running" else ("second", "first")
    (held,) = node.holds(running)
    assert held in (FIRST, SECOND)
    assert phase(node, waiting) == "Pending"
    assert "Insufficient virtfn.dev/pair" in node.cluster.kubectl("describe", "pod", waiting).stdout
    node.cluster.kubectl("delete", "pod", running)
    node.holds(waiting)


def test_in_two_pools_one_of_them_is_offered(node: Node) -> None:
    node.apply(whole("left", address=FIRST), whole("right", address=SECOND))
    node.until("the node is as asked", node.is_converged)
    names = ("virtfn.dev/left", "virtfn.dev/right")
    node.until("one is allocatable", lambda: sum(allocatable(node.cluster, name) for name in names) == 1)
    assert "shares IOMMU group" in described(node)
