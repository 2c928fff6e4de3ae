"""`rollout status`: which nodes are done, which have the turn, which wait."""

from __future__ import annotations

import json

import pytest
from fake_cluster import Ask, cluster_of, recorded


@pytest.mark.parametrize(
    ("fleet", "done", "status", "complete"),
    [("healthy", 2, 0, True), ("changing", 1, 0, False), ("blocked", 1, 3, False), ("failed", 1, 1, False)],
)
def test_how_many_nodes_are_done(ask: Ask, fleet: str, done: int, status: int, complete: bool) -> None:
    answer = ask(fleet, "rollout", "status", "fast", "--json")
    assert (answer.document["done"], answer.status, answer.document["complete"]) == (done, status, complete)


def test_the_turn_and_those_that_wait_for_it_are_named(ask: Ask) -> None:
    out = ask("changing", "rollout", "status", "fast").out
    assert "may change now: node-2\n" in out
    assert "waiting for a turn: node-3\n" in out
    assert [line.split()[0] for line in out.splitlines() if "has it" in line] == ["node-2"]


def test_a_node_that_has_not_reported_on_the_edit_is_not_done(ask: Ask) -> None:
    fleet = recorded("healthy")
    fleet["policies"][0]["metadata"]["generation"] += 1
    document = ask(cluster_of(fleet), "rollout", "status", "fast", "--json").document
    assert (document["done"], document["complete"]) == (0, False)


def test_a_policy_that_is_not_there_is_status_4(ask: Ask) -> None:
    answer = ask("healthy", "rollout", "status", "slow")
    assert answer.status == 4
    assert "there are policies fast" in answer.err


def test_what_holds_further_turns_is_told(ask: Ask) -> None:
    fleet = recorded("changing")
    fleet["policies"][0]["metadata"]["annotations"] = {"virtfn.dev/paused": "true"}
    fleet["policies"][0]["status"]["rollout"] = {"turns": ["node-2"], "waiting": 1, "stoppedBy": "node-2"}
    out = ask(cluster_of(fleet), "rollout", "status", "fast").out
    assert "paused: no further node gets a turn" in out
    assert "stopped: node node-2 failed in its turn" in out
    why = ask(cluster_of(fleet), "why", "fast").out
    assert "paused; kubectl virtfn rollout resume fast" in why
    assert "next: kubectl virtfn rollout resume fast, when the other nodes may follow" in why


def test_nodes_that_wait_are_in_the_order_in_which_they_get_a_turn(ask: Ask) -> None:
    fleet = recorded("changing")
    other = json.loads(json.dumps(fleet["nodes"][2]))
    other["metadata"]["name"] = "node-9"
    fleet["nodes"].append(other)
    fleet["policies"][0]["status"]["rollout"] = {"turns": ["node-2"], "waiting": 2, "next": ["node-9", "node-3"]}
    assert "waiting for a turn: node-9, node-3\n" in ask(cluster_of(fleet), "rollout", "status", "fast").out


def test_another_action_is_a_usage_error(ask: Ask) -> None:
    assert ask("healthy", "rollout", "undo", "fast").status == 2


@pytest.mark.parametrize(("node", "there"), [("node-2", True), ("node-9", False)])
def test_a_failed_node_that_is_not_there_is_told_with_the_way_to_go_on(ask: Ask, node: str, there: bool) -> None:
    fleet = recorded("changing")
    fleet["policies"][0]["status"]["rollout"] = {"turns": [], "waiting": 1, "stoppedBy": node}
    out = ask(cluster_of(fleet), "rollout", "status", "fast").out
    assert (f"stopped: node {node} failed in its turn" in out, "pause the rollout, then resume it" in out) == (
        True,
        not there,
    )
    fleet["policies"][0]["metadata"]["annotations"] = {"virtfn.dev/paused": "true"}
    out = ask(cluster_of(fleet), "rollout", "resume", "fast").out
    assert (f"still stopped: node {node}" in out, f"goes on without node {node}" in out) == (there, not there)
