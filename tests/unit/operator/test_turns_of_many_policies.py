"""Turns where a node has more than one policy: what becomes of one policy there holds up no other one."""

from typing import Any

import pytest
from fleet_of_policies import Fleet, edited


@pytest.mark.parametrize("mine", ["Changing", "Ready"])
def test_a_node_that_dies_loses_its_turn_although_another_policy_is_blocked_there(mine: str) -> None:
    fleet = Fleet({"n1": "ab", "n2": "a"})
    edited(fleet, "a", b="Blocked")
    assert fleet.turns == ["n1"]
    fleet.says("n1", disruptive=True, a=mine, b="Blocked")
    fleet.look()
    assert fleet.turns == ["n1"]
    fleet.look(899)
    assert fleet.turns == ["n1"]
    fleet.look(2)
    fleet.look()
    assert fleet.turns == ["n2"]
    assert fleet.problem("a", "n1") == "TurnLost"


@pytest.mark.parametrize("states", [{"a": "Blocked"}, {"a": "Blocked", "b": "Blocked"}])
def test_a_node_on_which_every_policy_waits_for_a_holder_keeps_its_turn_for_two_hours(states: dict[str, Any]) -> None:
    fleet = Fleet({"n1": "".join(states), "n2": "a"})
    edited(fleet, "a")
    fleet.says("n1", disruptive=True, **states)
    fleet.look()
    fleet.look(8 * 900 - 20)
    assert fleet.turns == ["n1"]
    fleet.look(20)
    fleet.look()
    assert fleet.turns == ["n2"]
    assert fleet.problem("a", "n1") == "TurnLost"


def test_a_lasting_failure_beside_it_ends_no_turn_that_evicts() -> None:
    """With `onFailure: Continue` of the policy that failed; the other one goes on to its end."""
    fleet = Fleet({"n1": "ab", "n2": "a"}, a={"whenInUse": "Evict"}, b={"onFailure": "Continue"})
    edited(fleet, "a", b="Failed")
    for _ in range(3):
        fleet.says("n1", disruptive=True, pods=True, a="Changing", b="Failed")
        evicted = fleet.look().evictions
        assert fleet.turns == ["n1"]
    assert [str(one.pod) for one in evicted] == ["default/n1-pod"]
    fleet.says("n1", b="Failed")
    fleet.look()
    assert fleet.turns == []
    assert "gaveup=" not in fleet.note("n1")  # its work is done: the next edit does not wait for a rest
    fleet.says("n1", b="Failed")
    fleet.look()
    assert fleet.turns == ["n2"]


@pytest.mark.parametrize("states", [{"b": "Failed"}, {"a": "Failed", "b": "Failed"}, {"a": "Blocked", "b": "Failed"}])
def test_with_continue_a_failure_ends_the_turn_when_nothing_is_changing_any_more(states: dict[str, Any]) -> None:
    fleet = Fleet({"n1": "ab", "n2": "ab"}, a={"onFailure": "Continue"}, b={"onFailure": "Continue"})
    edited(fleet, "a")
    fleet.says("n1", disruptive=True, a="Changing", b="Failed")
    fleet.look()
    assert fleet.turns == ["n1"]
    fleet.says("n1", disruptive=True, **states)
    fleet.look()
    assert fleet.turns == []
    assert "gaveup=" in fleet.note("n1")
    fleet.says("n1", disruptive=True, **states)
    fleet.look()
    assert fleet.turns == ["n2"]


def test_with_continue_one_that_failed_in_all_it_was_asked_rests() -> None:
    fleet = Fleet({"n1": "ab", "n2": "a"}, a={"onFailure": "Continue"}, b={"onFailure": "Continue"})
    edited(fleet, "a")
    fleet.says("n1", a="Failed", b="Failed")
    fleet.look()
    assert fleet.turns == []
    assert "gaveup=" in fleet.note("n1")


def failed_beside(**disruption: dict[str, Any]) -> Fleet:
    """Return a fleet in which `b` has failed for long on the first node, and `a` was edited; that node has its turn."""
    fleet = Fleet({"n1": "ab", "n2": "a", "n3": "b", "n4": "b"}, **disruption)
    edited(fleet, "a", b="Failed")
    assert fleet.turns == ["n1"]
    return fleet


def well(fleet: Fleet, *nodes: str, **states: Any) -> None:
    for node in nodes:
        fleet.says(node, **states)
    fleet.look()


def wanted(fleet: Fleet, *nodes: str) -> None:
    """These nodes want a turn for `b`."""
    for node in nodes:
        fleet.says(node, disruptive=True, b="Changing")
    fleet.look()


def test_a_lasting_failure_of_one_policy_stops_that_one_and_no_other() -> None:
    fleet = failed_beside()
    fleet.says("n1", disruptive=True, a="Changing", b="Failed")
    fleet.look()
    assert fleet.turns == ["n1"]
    well(fleet, "n1", b="Failed")
    assert fleet.turns == []
    assert "gaveup=" not in fleet.note("n1")
    well(fleet, "n1", b="Failed")
    assert fleet.turns == ["n2"]
    well(fleet, "n2")
    wanted(fleet, "n3")
    assert fleet.turns == []
    assert fleet.rollout("b")["stoppedBy"] == "n1"
    assert "turns" not in fleet.rollout("b")
    assert fleet.rollout("a") == {}


@pytest.mark.parametrize("again", ["Failed", "Changing", "Blocked"])
def test_a_failure_goes_on_after_the_turn_until_that_policy_is_well_there(again: str) -> None:
    fleet = failed_beside()
    well(fleet, "n1", b="Failed")
    well(fleet, "n1", b=again)
    wanted(fleet, "n3")
    for _ in range(3):
        well(fleet, "n1", "n2", b=again)
        fleet.look(3600)
        assert fleet.turns == []
        assert "failed=" in fleet.note("n1")
    well(fleet, "n1", a="Failed")  # of the other policy: no failure in a turn
    assert "failed=" not in fleet.note("n1")
    assert fleet.turns == ["n3"]


def test_an_edit_ends_a_failure_also_after_the_turn() -> None:
    fleet = failed_beside()
    well(fleet, "n1", b="Failed")
    well(fleet, "n1", "n2", b="Failed")
    fleet.edit("b")
    fleet.look()
    wanted(fleet, "n3", "n4")
    assert fleet.turns == ["n3"]


def test_the_node_that_failed_may_try_again_and_its_failure_is_not_forgotten_by_that() -> None:
    fleet = failed_beside()
    well(fleet, "n1", b="Failed")
    well(fleet, "n1", "n2", b="Failed")
    wanted(fleet, "n3")
    wanted(fleet, "n1")
    assert fleet.turns == ["n1"]
    assert "failed=" in fleet.note("n1")
    assert fleet.rollout("b")["stoppedBy"] == "n1"


def test_one_that_failed_with_work_left_holds_up_no_other_policy_and_rests() -> None:
    fleet = failed_beside()
    fleet.says("n1", disruptive=True, b="Failed")
    fleet.look()
    fleet.says("n1", disruptive=True, b="Changing")
    fleet.look()
    assert fleet.turns == ["n2"]
    assert fleet.rollout("b")["stoppedBy"] == "n1"
    well(fleet, "n2")
    well(fleet, "n2")
    fleet.look(590)
    assert fleet.turns == []
    fleet.look(20)
    assert fleet.turns == ["n1"]


@pytest.mark.parametrize("spoke", [False, True])
def test_one_that_dies_after_a_failure_loses_its_turn_and_its_failure_goes_on(spoke: bool) -> None:
    fleet = failed_beside()
    if spoke:
        fleet.says("n1", disruptive=True, a="Changing", b="Failed")
    fleet.look()
    fleet.look(899)
    assert fleet.turns == ["n1"]
    fleet.look(2)
    fleet.look()
    assert fleet.turns == ["n2"]
    assert fleet.problem("a", "n1") == "TurnLost"
    wanted(fleet, "n3")
    assert fleet.turns == ["n2"]
    assert fleet.rollout("b")["stoppedBy"] == "n1"


@pytest.mark.parametrize("states", [{"a": "Failed", "b": "Failed"}, {"a": "Failed", "b": "Changing"}])
def test_a_node_on_which_every_policy_failed_keeps_its_turn(states: dict[str, Any]) -> None:
    fleet = failed_beside()
    fleet.says("n1", disruptive=True, a="Failed", b="Failed")
    fleet.look()
    fleet.says("n1", disruptive=True, **states)
    for _ in range(3):
        fleet.look(3600)
        assert fleet.turns == ["n1"]
    assert (fleet.rollout("a")["stoppedBy"], fleet.rollout("b")["stoppedBy"]) == ("n1", "n1")


def test_two_nodes_that_failed_may_both_try_again() -> None:
    fleet = Fleet({"n1": "abc", "n2": "bc"}, b={"maxUnavailable": 2}, c={"maxUnavailable": 2})
    edited(fleet, "b")
    assert fleet.turns == ["n1", "n2"]
    well(fleet, "n1", "n2", b="Failed")
    well(fleet, "n1", "n2", b="Failed")
    assert fleet.turns == []
    wanted(fleet, "n1", "n2")
    assert fleet.turns == ["n1", "n2"]
