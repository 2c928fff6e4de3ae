"""`whenInUse: Evict`: exactly the pods that hold what is changed are evicted, and nobody gets their VFs meanwhile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from virtfn_lab.node import LEFT, RIGHT, Node, policy
from virtfn_lab.product import allocatable, pod

EVICT: Any = {"disruption": {"whenInUse": "Evict"}}
LABELS = {"app": "web"}
STAYS = {"app": "stays"}


def labelled(name: str, resource: str, labels: Mapping[str, str]) -> str:
    """Return a pod of the lab with labels, for a budget to select."""
    made = json.loads(pod(name, resource=resource))
    made["metadata"]["labels"] = labels
    return json.dumps(made)


def budget(name: str, available: int) -> str:
    """Return a PodDisruptionBudget for the labelled pods."""
    spec = {"minAvailable": available, "selector": {"matchLabels": LABELS}}
    document = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec}
    return json.dumps(document)


def uid(node: Node, name: str) -> str:
    """Return the uid of a pod; empty if there is none."""
    return node.cluster.kubectl("get", "pod", name, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}").stdout


def problem(node: Node) -> Any:
    """Return the first problem of the policy `left`; empty if it has none."""
    status: Any = node.cluster.get("svp", "left").get("status") or {}
    return next(iter(status.get("problems", [])), {})


def both_offered(node: Node) -> bool:
    return (allocatable(node.cluster, "virtfn.dev/left"), allocatable(node.cluster, "virtfn.dev/right")) == (3, 1)


@pytest.fixture
def serving(node: Node) -> Node:
    """Two pools; of the left one a pod holds a VF, and of the right one another pod."""
    node.apply(policy("left", 3, LEFT, **EVICT), policy("right", 1, RIGHT, **EVICT))
    node.until("both pools are there", lambda: both_offered(node))
    node.apply(labelled("holder", "virtfn.dev/left", LABELS), labelled("beside", "virtfn.dev/right", STAYS))
    node.holds("holder")
    node.holds("beside")
    return node


def test_exactly_the_holding_pods_are_evicted_and_the_change_is_made(serving: Node) -> None:
    beside = uid(serving, "beside")
    serving.edit("left", 2)
    serving.until("the holder is gone", lambda: not uid(serving, "holder"))
    serving.until("2 are allocatable", lambda: allocatable(serving.cluster, "virtfn.dev/left") == 2)
    serving.converged()
    assert uid(serving, "beside") == beside
    unschedulable = serving.cluster.kubectl("get", "node", "node-1", "-o", "jsonpath={.spec.unschedulable}").stdout
    assert unschedulable == ""


def test_a_pod_that_takes_the_place_of_an_evicted_one_waits_for_a_vf_of_the_new_pool(serving: Node) -> None:
    serving.edit("left", 2)
    serving.until("the holder is gone", lambda: not uid(serving, "holder"))
    serving.apply(labelled("holder", "virtfn.dev/left", LABELS))
    serving.converged()
    serving.holds("holder")
    serving.converged()  # the controller takes the turn back a moment after it, which the agent has to see


def test_a_budget_blocks_it_and_is_named_and_everything_stays_as_it_is(serving: Node) -> None:
    serving.apply(budget("web", 1))
    try:
        holder = uid(serving, "holder")
        serving.edit("left", 2)
        serving.until("the policy says so", lambda: problem(serving).get("reason") == "EvictionBlocked")
        assert "disruption budget web" in problem(serving)["message"]
        assert uid(serving, "holder") == holder
    finally:
        serving.cluster.kubectl("delete", "pdb", "web")
    serving.until("the holder is gone", lambda: not uid(serving, "holder"))
    serving.converged()


def test_a_cordoned_node_is_left_alone(serving: Node) -> None:
    serving.cluster.kubectl("cordon", "node-1")
    try:
        holder = uid(serving, "holder")
        serving.edit("left", 2)
        serving.until("the policy says so", lambda: problem(serving).get("reason") == "NodeCordoned")
        assert uid(serving, "holder") == holder
    finally:
        serving.cluster.kubectl("uncordon", "node-1")
    serving.until("the holder is gone", lambda: not uid(serving, "holder"))
    serving.converged()
