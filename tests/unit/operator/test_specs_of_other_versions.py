"""Spec and status of a SriovNode between controller and agent of different versions."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from documents import extended
from hypothesis import given
from inventories import a_pf, an_inventory

from virtfn_operator.agent.recall import recalled
from virtfn_operator.api import node_spec
from virtfn_operator.api.node_state import read_node, read_spec
from virtfn_operator.api.node_status import STATUS_FIELDS
from virtfn_operator.controller.decide import Decision, World, decide

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

NOW = "2026-01-01T00:00:00Z"
INVENTORY = an_inventory(a_pf(0, vfs=4))
SPEC_FIELDS = frozenset(node_spec._paths(node_spec._SPEC))
Body = dict[str, Any]

LINKED = {
    "name": "fast",
    "uid": "u-fast",
    "generation": 1,
    "devices": [{"vendor": "8086", "class": "0200"}, {"address": "0000:01:00.0"}],
    "count": 4,
    "pools": [{"resourceName": "virtfn.dev/fast", "driver": "vfio-pci", "link": {"vlan": 7, "linkState": "auto"}}],
}
WHOLE = {
    "name": "whole",
    "uid": "u-whole",
    "generation": 2,
    "devices": [{"netdev": "ens1f0"}],
    "wholeFunctions": {"resourceName": "virtfn.dev/whole", "driver": "vfio-pci"},
}
SPEC: Body = {"policies": [LINKED, WHOLE], "mayChange": True}
STATUS: Body = {
    "observedGeneration": 1,
    "bootId": INVENTORY.boot_id,
    "functions": [
        {
            "address": str(INVENTORY.pfs[0].address),
            "driver": "igb",
            "vfs": [{"indexes": "0-2", "driver": "vfio-pci", "pool": "virtfn.dev/fast", "heldBy": []}],
        }
    ],
    "plan": {"steps": 3, "disruptive": True, "blocked": []},
    "policies": [
        {"name": "fast", "uid": "u-fast", "generation": 1, "state": "Ready", "reason": "Converged", "message": "ok"}
    ],
    "rejected": [{"policy": "fast", "reason": "IndexTaken", "message": "VF 0 belongs to another"}],
    "conditions": [
        {"type": "Ready", "status": "True", "reason": "Converged", "message": "", "lastTransitionTime": NOW}
    ],
}


def names(paths: frozenset[str]) -> set[str]:
    return {name for path in paths for name in path.split(".")}


def node(spec: object = SPEC, status: object = STATUS) -> Body:
    return {"metadata": {"name": "a", "generation": 1}, "spec": spec, "status": status}


def policy(**spec: Any) -> Body:
    good = {"devices": [{"vendor": "8086"}], "virtualFunctions": {"count": 4, "pools": [{"resourceName": "fast"}]}}
    metadata = {"name": "fast", "uid": "u-fast", "generation": 1, "creationTimestamp": NOW}
    return {"metadata": metadata, "spec": {**good, **spec}}


def decided(body: Body, *policies: Body) -> Decision:
    return decide(World(policies=policies, states=[body], nodes=[{"metadata": {"name": "a"}}]), NOW)


def told(decision: Decision) -> Body:
    """The status of the policy."""
    status: Body = next(write.patch["status"] for write in decision.writes if write.plural == "sriovpolicies")
    return status


# --- what is not known is ignored ----------------------------------------------------------------------------------


@given(extended(SPEC, names(SPEC_FIELDS)))
def test_fields_that_nobody_knows_never_change_what_a_spec_asks(more: Body) -> None:
    read = read_spec(SPEC)
    assert read is not None
    assert (len(read.config.policies), read.rejected) == (2, ())
    assert read_spec(more) == read
    asked = node_spec.asked_spec(more)
    assert asked is not None
    assert [asked.policy("u-fast"), asked.policy("u-whole")] == list(read.config.policies)


@given(extended(STATUS, names(STATUS_FIELDS)))
def test_fields_that_nobody_knows_never_change_what_a_status_says(more: Body) -> None:
    assert read_node(node(status=more)) == read_node(node())
    found = recalled(more, INVENTORY)
    assert found == recalled(STATUS, INVENTORY)
    assert found.pools is not None
    assert found.pools.pools[0].resource_name == "virtfn.dev/fast"


def test_what_a_user_writes_is_read_strictly_all_the_same() -> None:
    status = told(decided(node(), policy(sharing=4)))
    accepted = next(c for c in status["conditions"] if c["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "InvalidPolicy")


def test_what_is_left_of_a_matcher_that_nobody_knows_matches_nothing() -> None:
    entry = {**LINKED, "devices": [{"serial": "1"}]}
    read = read_spec({**SPEC, "policies": [entry]})
    assert read is not None
    assert "an empty matcher would match every device" in read.rejected[0].message


@pytest.mark.parametrize("state", ["Ready", "WithoutDevice"])
def test_a_reason_that_nobody_knows_is_a_problem(state: str) -> None:
    status = copy.deepcopy(STATUS)
    status["policies"][0] |= {"state": state, "reason": "Overheated", "message": "hot"}
    policy_status = told(decided(node(status=status), policy()))
    assert (policy_status["nodes"]["ready"], policy_status["nodes"]["failed"]) == (0, 1)
    assert policy_status["problems"][0] == {"node": "a", "reason": "Unreadable", "message": "Overheated: hot"}
    ready = next(c for c in policy_status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "Unreadable")
    assert ready["message"].endswith("Overheated: hot")


# --- what is needed and not known is refused -----------------------------------------------------------------------


@pytest.mark.parametrize("needs", [["policies.devices.serial"], ["mayChange", "x"], None, "x", [7]])
def test_a_spec_that_needs_what_nobody_knows_is_not_carried_out(needs: object) -> None:
    read = read_spec({**SPEC, "needs": needs})
    assert read is not None
    (rejected,) = read.rejected
    assert read.config.policies == ()
    assert "spec: " in rejected.message
    asked = node_spec.asked_spec({**SPEC, "needs": needs})
    assert asked is not None
    assert asked.policy("u-fast") == rejected


def test_a_spec_may_need_what_is_known() -> None:
    assert read_spec({**SPEC, "needs": sorted(SPEC_FIELDS)}) == read_spec(SPEC)


async def test_an_agent_leaves_the_node_as_it_is_until_it_can_read_the_spec(fake_node: type[FakeNode]) -> None:
    machine = fake_node()
    body = machine.ask(machine.config(2))
    machine.body = {**body, "spec": {**body["spec"], "needs": ["policies.pools.shared"]}}
    agent = machine.agent()
    await agent.turn()
    assert machine.applied == []
    assert machine.published_sets == []
    assert machine.ready() == ("False", "InvalidPolicy")
    message = next(c["message"] for c in machine.status["conditions"] if c["type"] == "Ready")
    assert message.startswith("spec: it needs 'policies.pools.shared', which only a newer version")
    agent.see(machine.ask(machine.config(2)))
    await agent.turn()
    assert machine.ready() == ("True", "Converged")


def test_a_controller_keeps_what_a_rejected_policy_had_where_it_cannot_read_it() -> None:
    body = node({**SPEC, "needs": ["policies.pools.shared"]})
    decision = decided(body, policy(shared=4))
    assert [write for write in decision.writes if "policies" in write.patch.get("spec", {})] == []
    assert "SriovNode a keeps its spec: what it is asked cannot be read" in decision.unreadable
    (write,) = [write for write in decided(body, policy()).writes if write.plural == "sriovnodes"]
    assert write.patch["spec"]["needs"] is None  # it has written all of it anew


def test_a_status_that_needs_what_nobody_knows_counts_as_changing() -> None:
    status = {**STATUS, "needs": ["plan.reboots"]}
    state = read_node(node(status=status))
    assert state.unknown
    assert "needs 'plan.reboots', which only a newer version of virtfn knows: upgrade virtfn" in state.unreadable
    policy_status = told(decided(node(status=status), policy()))
    assert (policy_status["nodes"]["changing"], policy_status["problems"][0]["reason"]) == (1, "Unreadable")
    assert recalled(status, INVENTORY).pools is None
    assert read_node(node(status={**STATUS, "needs": sorted(STATUS_FIELDS)})) == read_node(node())
