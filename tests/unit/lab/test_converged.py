"""A node counts as converged with the policies of now only: what it says of earlier ones is no answer to an edit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from virtfn_lab.cluster import Cluster
from virtfn_lab.node import Node

Body = dict[str, Any]


def policy(uid: str, generation: int = 1, observed: int = 1, matching: int = 1, reason: str = "Converged") -> Body:
    conditions = [{"type": "Accepted", "status": "True", "reason": reason}]
    status = {"observedGeneration": observed, "nodes": {"matching": matching}, "conditions": conditions}
    return {"metadata": {"uid": uid, "generation": generation}, "status": status}


def sriovnode(told: Mapping[str, int], generation: int = 5, observed: int = 5, reason: str = "Converged") -> Body:
    conditions = [{"type": "Ready", "status": "True", "reason": reason}]
    return {
        "metadata": {"generation": generation},
        "spec": {"policies": [{"uid": uid, "generation": each} for uid, each in told.items()]},
        "status": {"observedGeneration": observed, "conditions": conditions},
    }


def converged(monkeypatch: pytest.MonkeyPatch, policies: list[Body], node: Body) -> bool:
    def get(_: Cluster, kind: str, *__: str) -> Body:
        return {"items": policies} if kind == "svp" else node

    monkeypatch.setattr(Cluster, "get", get)
    return Node(Cluster(folder=Path(), tools=Path(), pid=0)).is_converged()


def test_what_was_asked_last_is_carried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert converged(monkeypatch, [], sriovnode({}))
    assert converged(monkeypatch, [policy("a", 2, 2), policy("b")], sriovnode({"a": 2, "b": 1}))


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        ([policy("a", generation=2, observed=1)], {"a": 1}),
        ([policy("a", generation=2, observed=2)], {"a": 1}),
        ([policy("a")], {}),
        ([], {"a": 1}),
        ([{"metadata": {"uid": "a", "generation": 1}}], {}),
    ],
    ids=["the controller has not looked", "the node is not told", "of a new one", "of a deletion", "no status yet"],
)
def test_a_change_that_is_on_its_way_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, policies: list[Body], told: Mapping[str, int]
) -> None:
    assert not converged(monkeypatch, policies, sriovnode(told))


def test_a_spec_that_the_agent_has_not_seen_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not converged(monkeypatch, [policy("a")], sriovnode({"a": 1}, generation=6, observed=5))


def test_a_policy_for_other_nodes_or_one_that_cannot_be_read_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert converged(monkeypatch, [policy("a", matching=0)], sriovnode({}))
    assert converged(monkeypatch, [policy("a", 2, 2, reason="InvalidPolicy")], sriovnode({"a": 1}))
