"""A failure that lasts: the node may repair it by itself, others wait no longer than they must, and texts stay true."""

from typing import Any

import pytest
from fleet_of_policies import Fleet, edited

TWO: dict[str, Any] = {"maxUnavailable": 2}


def say(fleet: Fleet, word: str, policies: dict[str, str]) -> None:
    for node, policy in policies.items():
        states: dict[str, Any] = {policy: word}
        fleet.says(node, disruptive=True, **states)


def failed_on(fleet: Fleet, **failures: str) -> None:
    """Each node says that one of its policies failed with work left, in its turn and after it."""
    for _ in range(2):
        say(fleet, "Failed", failures)
        fleet.look()


def tried_again(fleet: Fleet, **failures: str) -> None:
    """After their rest, the nodes want a turn for what failed."""
    say(fleet, "Changing", failures)
    fleet.look(700)


@pytest.mark.parametrize("failures", [{"n1": "a", "n2": "b"}, {"n1": "b", "n2": "a"}, {"n1": "a", "n2": "a"}])
def test_two_nodes_that_failed_for_different_policies_do_not_wait_for_each_other(failures: dict[str, str]) -> None:
    fleet = Fleet({"n1": "ab", "n2": "ab"}, a=TWO, b=TWO)
    for policy in "ab":
        fleet.edit(policy)
    fleet.look()
    for node in ("n1", "n2"):
        fleet.says(node, disruptive=True, a="Changing", b="Changing")
    fleet.look()
    assert fleet.turns == ["n1", "n2"]
    failed_on(fleet, **failures)
    assert fleet.turns == []
    tried_again(fleet, **failures)
    assert fleet.turns == ["n1", "n2"]


def test_a_node_that_failed_gets_no_turn_for_an_edit_of_a_policy_that_has_stopped_elsewhere() -> None:
    fleet = Fleet({"n1": "ab", "n2": "ab"}, a=TWO, b=TWO)
    edited(fleet, "a")
    failed_on(fleet, n1="a", n2="b")
    fleet.says("n1", disruptive=True, a="Changing", b="Changing")
    fleet.look(700)
    assert "n1" not in fleet.turns


@pytest.mark.parametrize(("state", "seconds"), [("Failed", 86400), ("Failed", 3 * 86400), ("Blocked", 7000)])
def test_an_edit_of_one_that_stood_for_long_gives_it_time_to_answer(state: str, seconds: int) -> None:
    fleet = Fleet({"n1": "a", "n2": "a"})
    edited(fleet, "a")
    fleet.says("n1", disruptive=True, a=state)
    fleet.look(seconds)
    fleet.edit("a")
    fleet.look()
    assert fleet.turns == ["n1"]
    fleet.look(1)
    assert (fleet.turns, fleet.problem("a", "n1")) == (["n1"], "")
    fleet.look(899)
    fleet.look()
    assert fleet.problem("a", "n1") == "TurnLost"


@pytest.mark.parametrize("number", [2, 5, 8])
def test_a_policy_that_comes_later_is_not_stopped_by_failures_of_others(number: int) -> None:
    names = "abcdefgh"[:number]
    fleet = Fleet({"n1": names + "z", "n2": "z"})
    edited(fleet, "a")
    failing: dict[str, Any] = dict.fromkeys(names, "Failed")
    fleet.says("n1", disruptive=True, **failing)
    fleet.look()
    fleet.says("n1", disruptive=True, **failing)
    edited(fleet, "z", **failing)
    assert "stoppedBy" not in fleet.rollout("z")


def test_a_policy_that_did_not_fail_is_not_said_to_have_failed() -> None:
    fleet = Fleet({"n1": "ab", "n2": "a"}, b={"onFailure": "Continue"})
    edited(fleet, "b")
    failed_on(fleet, n1="b")
    assert fleet.turns == []
    fleet.edit("a")
    fleet.look()
    fleet.says("n1", disruptive=True, a="WaitingForTurn", b="Failed")
    body = fleet.nodes["n1"]["status"]["policies"]
    body[0]["state"] = "Changing"
    fleet.look()
    assert fleet.policies["a"]["status"]["nodes"]["failed"] == 0


def test_evictions_that_are_refused_end_the_turn_also_of_a_node_that_failed_before() -> None:
    fleet = Fleet({"n1": "a", "n2": "a"}, a={"whenInUse": "Evict"})
    edited(fleet, "a")
    fleet.says("n1", disruptive=True, a="Failed")
    fleet.look()
    fleet.pods["n1"] = "pods may not be read"
    for _ in range(4):
        fleet.says("n1", disruptive=True, pods=True, a="Changing")
        fleet.look(300)
    assert "n1" not in fleet.turns
    assert fleet.rollout("a")["stoppedBy"] == "n1"
