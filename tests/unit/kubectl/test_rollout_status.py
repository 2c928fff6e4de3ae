"""`rollout status`: which nodes are done, which have the turn, which wait."""

from __future__ import annotations

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


@pytest.mark.parametrize("action", ["pause", "resume", "undo"])
def test_what_is_not_built_yet_is_a_usage_error(ask: Ask, action: str) -> None:
    assert ask("healthy", "rollout", action, "fast").status == 2
