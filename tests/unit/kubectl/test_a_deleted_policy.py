"""What the verbs say of a deleted policy that another program's finalizers keep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_cluster import Ask, FakeCluster, cluster_of, recorded
from plan_asked import Planned, policy

KEPT = {"deletionTimestamp": "2026-01-01T11:00:00Z", "finalizers": ["other.example/keep"]}


def fleet(name: str) -> FakeCluster:
    """Return a recorded fleet with the policy fast deleted; the controller has not written that yet."""
    found = recorded(name)
    found["policies"][0]["metadata"] |= KEPT
    return cluster_of(found)


@pytest.mark.parametrize("name", ["healthy", "changing", "blocked", "failed"])
def test_it_is_blocked_by_what_keeps_it(ask: Ask, name: str) -> None:
    cluster = fleet(name)
    for words in (["rollout", "status", "fast"], ["why", "policy/fast"]):
        answer = ask(cluster, *words)
        assert answer.status == 3
        assert "other.example/keep" in answer.out
    (row,) = [it for it in ask(cluster, "status", "--json").document["policies"] if it["name"] == "fast"]
    assert (row["verdict"]["stand"], row["verdict"]["reason"], row["resources"]) == ("Blocked", "BeingDeleted", [])
    assert ask(fleet("healthy"), "status").status == 3


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_its_rollout_is_neither_paused_nor_resumed(ask: Ask, action: str) -> None:
    cluster = fleet("changing")
    answer = ask(cluster, "rollout", action, "fast")
    assert (answer.status, answer.out) == (2, "")
    assert "it was deleted" in answer.err
    assert [call for call in cluster.calls if "patch" in call] == []


def test_a_plan_of_it_is_refused(planned: Planned) -> None:
    there = policy("fast", 4)
    given = policy("fast", 6)
    given["metadata"] |= KEPT  # an API server keeps that of the stored object
    answer = planned([there], given)
    assert (answer.status, answer.out) == (2, "")
    assert "policy fast cannot be edited any more: it was deleted" in answer.err
    assert "other.example/keep" in answer.err


def test_a_plan_of_another_policy_does_not_count_it(planned: Planned, tmp_path: Path) -> None:
    there = policy("fast", 4)
    there["metadata"] |= KEPT
    answer = planned([there], policy("new", 2), "--json")
    assert [(it["name"], it["notGiven"]) for it in answer.document["policies"]] == [("new", [])]
    assert json.dumps(answer.document).count("BeingDeleted") == 0
