"""An edit that reaches a node in its turn is part of that turn only if it would get one itself."""

from dataclasses import replace
from typing import Any

import pytest
from fleet_of_policies import RULES, Fleet, edited

from virtfn_operator.controller.decide import World, decide_all, see


def changing(**disruption: dict[str, Any]) -> Fleet:
    """Return a fleet whose first node has its turn and is changing something for `a`."""
    fleet = Fleet({"n1": "ab", "n2": "a", "n3": "b"}, **disruption)
    edited(fleet, "a")
    fleet.says("n1", disruptive=True, a="Changing")
    fleet.look()
    assert fleet.turns == ["n1"]
    return fleet


def generations(fleet: Fleet, node: str) -> dict[str, int]:
    return {policy["name"]: policy["generation"] for policy in fleet.nodes[node]["spec"]["policies"]}


def pause(fleet: Fleet, policy: str) -> None:
    fleet.policies[policy]["metadata"]["annotations"] = {"virtfn.dev/paused": "true"}


@pytest.mark.parametrize("policy", ["a", "b"])
def test_a_turn_carries_no_edit_of_a_policy_that_is_paused(policy: str) -> None:
    fleet = changing()
    pause(fleet, policy)
    fleet.look()
    assert fleet.turns == ["n1"]
    fleet.edit(policy)
    fleet.look()
    assert fleet.turns == []
    assert generations(fleet, "n1")[policy] == fleet.policies[policy]["metadata"]["generation"]
    assert "gaveup=" not in fleet.note("n1")
    assert "closes=" in fleet.note("n1")
    fleet.says("n1", disruptive=True, a="Changing", b="Changing")
    fleet.look()
    assert "n1" not in fleet.turns


def test_a_turn_carries_an_edit_of_a_policy_whose_place_it_has() -> None:
    fleet = changing()
    for policy in "ab":
        fleet.edit(policy)
        fleet.look()
        assert fleet.turns == ["n1"]
        assert generations(fleet, "n1")[policy] == fleet.policies[policy]["metadata"]["generation"]


def test_an_edit_ends_the_turn_of_a_cordoned_node() -> None:
    fleet = changing()
    fleet.cordoned = frozenset({"n1"})
    fleet.look()
    assert fleet.turns == ["n1"]
    fleet.edit("b")
    fleet.look()
    assert fleet.turns == []


@pytest.mark.parametrize("limit", [1, 2])
def test_a_turn_takes_no_place_of_a_policy_that_is_new_to_the_node(limit: int) -> None:
    fleet = Fleet({"n1": "a", "n2": "b", "n3": "b"}, b={"maxUnavailable": limit})
    for policy in "ab":
        edited(fleet, policy)
    assert fleet.turns == ["n1", "n2"] + ["n3"] * (limit > 1)
    if limit > 1:
        fleet.says("n3")
        fleet.look()
        fleet.says("n3")
    fleet.labels["n1"] = {"a": "", "b": ""}
    fleet.look()
    assert fleet.turns == (["n2"] if limit == 1 else ["n1", "n2"])
    assert set(generations(fleet, "n1")) == {"a", "b"}


def test_a_turn_carries_no_policy_that_is_new_to_the_node_and_has_stopped() -> None:
    fleet = Fleet({"n1": "a", "n2": "b", "n3": "b"}, b={"maxUnavailable": 3})
    edited(fleet, "a")
    edited(fleet, "b")
    fleet.says("n2", disruptive=True, b="Failed")
    fleet.look()
    fleet.labels["n1"] = {"a": "", "b": ""}
    fleet.look()
    assert "n1" not in fleet.turns


def test_a_lower_limit_is_kept_by_those_that_have_turns_already() -> None:
    fleet = Fleet({"n1": "a", "n2": "a", "n3": "a"}, a={"maxUnavailable": 2})
    edited(fleet, "a")
    assert fleet.turns == ["n1", "n2"]
    fleet.policies["a"]["spec"]["disruption"]["maxUnavailable"] = 1
    fleet.edit("a")
    fleet.look()
    assert len(fleet.turns) < 2


def test_an_edit_is_not_added_to_a_grant_whose_answer_was_lost() -> None:
    """The grant may have arrived after all. Then the object is another version, and the write is refused."""
    fleet = changing()
    metadata = {**fleet.nodes["n1"]["metadata"], "resourceVersion": "7"}
    spec = {**fleet.nodes["n1"]["spec"], "mayChange": False}
    body = {**fleet.nodes["n1"], "metadata": metadata, "spec": spec}
    fleet.edit("b")
    pause(fleet, "b")
    world = see(
        World(
            policies=list(fleet.policies.values()),
            states=[body],
            nodes=[{"metadata": {"name": "n1", "labels": fleet.labels["n1"]}}],
        )
    )
    seen = replace(world, states=[replace(world.states[0], promised=True)])
    (write,) = (it for it in decide_all(seen, "2026-01-01T00:01:00Z", RULES).writes if it.plural == "sriovnodes")
    assert write.patch["metadata"]["resourceVersion"] == "7"
    assert (write.turn, write.patch["spec"].get("mayChange")) == (False, None)
