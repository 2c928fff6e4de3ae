"""An agent that cannot read its spec carries out nothing: its node is not ready, and each of its policies failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fleet_of_policies import Fleet, a_policy, edited

from virtfn_operator.api.node_spec import SPEC_LIMIT
from virtfn_operator.api.node_state import read_node
from virtfn_operator.api.node_status import State
from virtfn_operator.controller.decide import World, decide
from virtfn_operator.controller.tainted import at_rest, unrest

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

NOW = "2026-01-01T00:00:00Z"
Body = dict[str, Any]
OTHER = {"name": "other", "uid": "u2", "generation": 1}

UNREADABLE: dict[str, Any] = {
    "a newer field is needed": lambda spec: {**spec, "needs": ["policies.fromTheFuture"]},
    "no list is needed": lambda spec: {**spec, "needs": "policies"},
    "one entry is damaged": lambda spec: {**spec, "policies": [*spec["policies"], {**OTHER, "devices": []}]},
    "one entry is no object": lambda spec: {**spec, "policies": [*spec["policies"], 7]},
    "every entry is no object": lambda spec: {**spec, "policies": [7]},
    "one is there twice": lambda spec: {**spec, "policies": spec["policies"] * 2},
    "too large": lambda spec: {**spec, "policies": [*spec["policies"], {**OTHER, "x": "x" * SPEC_LIMIT}]},
}


async def reported(node: FakeNode, spec: Any) -> Body:
    """The SriovNode after one turn of its agent."""
    body = node.ask(node.config(2))
    node.body = {**body, "spec": spec(body["spec"])}
    await node.agent().turn()
    assert node.ready() == ("False", "InvalidPolicy")
    assert node.applied == []
    return node.body


@pytest.mark.parametrize("spec", UNREADABLE.values(), ids=UNREADABLE)
async def test_a_node_is_not_at_rest(fake_node: type[FakeNode], spec: Any) -> None:
    state = read_node(await reported(fake_node(), spec))
    assert not at_rest(state)
    assert unrest(state).endswith(" is Failed (InvalidPolicy)")
    assert {(outcome.state, outcome.reason) for outcome in state.policies} == {(State.FAILED, "InvalidPolicy")}


@pytest.mark.parametrize("kind", [kind for kind in UNREADABLE if kind != "every entry is no object"])
async def test_each_policy_of_it_says_why_it_is_not_carried_out(fake_node: type[FakeNode], kind: str) -> None:
    body = await reported(fake_node(), UNREADABLE[kind])
    policy = a_policy("fast")
    policy["metadata"]["uid"] = body["spec"]["policies"][0]["uid"]
    del policy["spec"]["nodeSelector"]
    body = {**body, "spec": {**body["spec"], "mayChange": False}}
    world = World(policies=[policy], states=[body], nodes=[{"metadata": {"name": "n1"}}])
    (status,) = [write.patch["status"] for write in decide(world, NOW).writes if write.plural == "sriovpolicies"]
    assert (status["nodes"]["failed"], status["nodes"]["changing"]) == (1, 0)
    assert (status["problems"][0]["node"], status["problems"][0]["reason"]) == ("n1", "InvalidPolicy")
    ready = next(it for it in status["conditions"] if it["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InvalidPolicy")
    assert "this agent cannot read it" in ready["message"]


async def test_a_node_that_can_read_its_spec_again_is_at_rest(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    await reported(node, UNREADABLE["a newer field is needed"])
    node.ask(node.config(2))
    await node.agent().turn()
    assert at_rest(read_node(node.body))


def says(status: Body, *policies: str, generation: int = 1) -> Body:
    asked = [{"name": name, "uid": f"u-{name}", "generation": 1} for name in policies]
    return {"metadata": {"name": "n1", "generation": generation}, "spec": {"policies": asked}, "status": status}


def told(*policies: str, state: str = "Ready") -> list[Body]:
    return [{"name": name, "uid": f"u-{name}", "generation": 1, "state": state} for name in policies]


def ready(reason: str) -> list[Body]:
    return [{"type": "Ready", "status": "False", "reason": reason, "message": "", "lastTransitionTime": NOW}]


@pytest.mark.parametrize(
    ("body", "says_why"),
    [
        (says({"observedGeneration": 1}, "a"), "does not say how each policy stands"),
        (says({"observedGeneration": 1, "policies": told("a")}, "a", "b"), "does not say how each policy stands"),
        (says({"observedGeneration": 1, "policies": told("b", "c")}, "a"), "does not say how each policy stands"),
        (says({"observedGeneration": 1, "conditions": ready("Stuck")}, "a"), "stands (Ready is False: Stuck)"),
        (says({"observedGeneration": 1, "conditions": ready("InvalidPolicy")}, "a"), "policy a is Failed"),
        (says({"observedGeneration": 1, "conditions": ready("InvalidPolicy")}, "a", generation=2), "not answered yet"),
    ],
)
def test_of_a_report_without_a_policy_nothing_follows(body: Body, says_why: str) -> None:
    state = read_node(body)
    assert not at_rest(state)
    assert says_why in unrest(state)


@pytest.mark.parametrize("policies", [(), ("a",), ("a", "b")])
def test_a_node_that_reports_more_policies_than_it_is_asked_is_at_rest(policies: tuple[str, ...]) -> None:
    assert at_rest(read_node(says({"observedGeneration": 1, "policies": told("b", "a")}, *policies)))


def cannot_read(fleet: Fleet, node: str) -> None:
    body = fleet.nodes[node]
    status = {"observedGeneration": body["metadata"]["generation"], "conditions": ready("InvalidPolicy")}
    fleet.nodes[node] = {**body, "status": status}
    fleet.look()


def test_a_rollout_stops_at_a_node_that_cannot_read_its_spec_in_its_turn() -> None:
    fleet = Fleet({"n1": "ab", "n2": "a", "n3": "b"})
    edited(fleet, "a")
    assert fleet.turns == ["n1"]
    for seconds in (0, 10_000):
        cannot_read(fleet, "n1")
        fleet.look(seconds)
        assert fleet.turns == ["n1"]
        assert fleet.rollout("a")["stoppedBy"] == "n1"
        assert (fleet.problem("a", "n1"), fleet.problem("b", "n1")) == ("InvalidPolicy", "InvalidPolicy")
    fleet.says("n1")
    fleet.look()
    fleet.says("n1")
    fleet.look()
    assert fleet.turns == ["n2"]


def test_with_continue_the_rollout_goes_on() -> None:
    fleet = Fleet({"n1": "a", "n2": "a"}, a={"onFailure": "Continue"})
    edited(fleet, "a")
    cannot_read(fleet, "n1")
    cannot_read(fleet, "n1")
    assert fleet.turns == ["n2"]


def test_a_node_without_a_turn_that_cannot_read_its_spec_holds_up_no_other() -> None:
    fleet = Fleet({"n1": "a", "n2": "a", "n3": "a"})
    edited(fleet, "a")
    cannot_read(fleet, "n2")
    assert fleet.turns == ["n1"]
    for _ in range(2):
        fleet.says("n1")
        fleet.look()
    assert fleet.turns == ["n3"]
