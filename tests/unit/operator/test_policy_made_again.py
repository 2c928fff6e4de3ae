"""A policy that is deleted and made again under its name is another one: nothing of the old one is said of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from api_server import OURS
from controller_at_work import POLICY, SPEC, Controller, with_a_policy
from fleet_of_policies import Fleet, a_policy

from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_operator.api.node_state import read_node
from virtfn_operator.api.policy import read_policy
from virtfn_operator.controller.seats import _pending


@pytest.fixture
async def controller(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Controller]:
    async with with_a_policy(monkeypatch) as found:
        yield found


async def answer(controller: Controller, node: str, state: str, reason: str) -> None:
    """The agent answers its present spec."""
    path = f"{OURS}/sriovnodes/{node}"
    body = controller.api.objects[path]
    outcomes = [
        {**{key: policy[key] for key in ("name", "uid", "generation")}, "state": state, "reason": reason}
        for policy in body["spec"]["policies"]
    ]
    status = {"observedGeneration": body["metadata"]["generation"], "policies": outcomes}
    await controller.api.put(path, {**body, "status": status})


def told(body: Any) -> set[tuple[str, str]]:
    """The conditions of a policy, as (type, reason)."""
    return {(one["type"], one["reason"]) for one in body.get("status", {}).get("conditions", ())}


@pytest.mark.parametrize("spec", [SPEC, {**SPEC, "devices": [{"vendor": "15b3"}]}], ids=["the same", "another"])
@pytest.mark.parametrize(("state", "reason"), [("Ready", "Converged"), ("Failed", "BindFailed")])
async def test_a_status_that_was_decided_for_the_old_one_is_refused(
    controller: Controller, spec: dict[str, Any], state: str, reason: str
) -> None:
    api, old = controller.api, controller.api.objects[POLICY]["metadata"]["uid"]

    async def make_again(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH" and request.path == f"{POLICY}/status":
            api.fault = None
            await api.delete(POLICY)
            await api.put(POLICY, {"metadata": {"name": "p"}, "spec": spec})
        return None

    api.fault = make_again
    for node in ("n1", "n2"):
        await answer(controller, node, state, reason)
    await controller.until(lambda: api.objects[POLICY]["metadata"]["uid"] != old)
    await controller.until(lambda: ("Ready", "Changing") in told(api.objects[POLICY]))
    new = [event["object"] for _, path, event in api.history if path == POLICY]
    assert not any(("Ready", reason) in told(body) for body in new if body["metadata"]["uid"] != old)


@pytest.mark.parametrize("metadata", [{"labels": {"a": "b"}}, {"annotations": {"a": "b"}}, {"managedFields": []}])
async def test_a_change_that_nothing_is_decided_from_holds_up_no_status(
    controller: Controller, metadata: dict[str, Any]
) -> None:
    """It makes another version, which the next write of the status must name."""
    await asyncio.sleep(0.1)  # its own writes are over
    body = controller.api.objects[POLICY]
    await controller.api.put(POLICY, {**body, "metadata": {**body["metadata"], **metadata}})
    await asyncio.sleep(0.1)
    for node in ("n1", "n2"):
        await answer(controller, node, "Ready", "Converged")
    await controller.until(lambda: ("Ready", "Converged") in told(controller.api.objects[POLICY]))


def made_again(fleet: Fleet) -> None:
    fleet.policies["a"] = a_policy("a", maxUnavailable=2)
    fleet.policies["a"]["metadata"]["uid"] = "u-a-again"  # and its generation is 1


def edited(fleet: Fleet) -> None:
    fleet.edit("a")


NEW = [edited, made_again]


def failed(state: str) -> Fleet:
    """Return a fleet whose first node has its turn and says this of `a`."""
    fleet = Fleet({"n1": "a", "n2": "a", "n3": "a"}, a={"maxUnavailable": 2})
    fleet.edit("a")
    fleet.look()
    for node in fleet.nodes:
        fleet.says(node, disruptive=True, a="Changing")
    fleet.look()
    fleet.says("n1", disruptive=True, a=state)
    fleet.says("n2")
    for _ in range(2):
        fleet.look(1)
        fleet.says("n2")
    fleet.look(1)
    return fleet


@pytest.mark.parametrize("new", NEW)
@pytest.mark.parametrize("then", ["Blocked", "Changing", "Ready"])
def test_its_rollout_is_not_stopped_by_the_failure_of_the_old_one(new: Callable[[Fleet], None], then: str) -> None:
    fleet = failed("Failed")
    assert fleet.rollout("a")["stoppedBy"] == "n1"
    new(fleet)
    fleet.look(1)
    assert "stoppedBy" not in fleet.rollout("a")
    for node in fleet.nodes:
        fleet.says(node, disruptive=node != "n1" or then == "Changing", a=then if node == "n1" else "Changing")
    for _ in range(2):
        fleet.look(1)
    assert "stoppedBy" not in fleet.rollout("a")
    assert "failed=" not in fleet.note("n1")
    assert "n3" in fleet.turns


def test_its_own_failure_stops_it() -> None:
    fleet = failed("Failed")
    made_again(fleet)
    fleet.look(1)
    fleet.says("n1", disruptive=True, a="Failed")
    fleet.look(1)
    assert fleet.rollout("a")["stoppedBy"] == "n1"


@pytest.mark.parametrize("new", NEW)
def test_what_the_old_one_has_done_is_still_to_be_done_for_it(new: Callable[[Fleet], None]) -> None:
    """Also a node that failed gets no turn for a policy that has stopped elsewhere, where it has to carry it out."""
    fleet = Fleet({"n1": "ab", "n2": "a"}, a={"maxUnavailable": 2})
    state = read_node(fleet.nodes["n1"])
    assert _pending(state, config(fleet)) == frozenset()
    new(fleet)
    assert _pending(state, config(fleet)) == {"a"}


def config(fleet: Fleet) -> NodeConfig:
    found = [read_policy(body).config for body in fleet.policies.values()]
    return NodeConfig(policies=tuple(one for one in found if isinstance(one, PolicyConfig)))


@pytest.mark.parametrize("heard", [False, True])
def test_what_was_rejected_of_the_old_one_is_not_rejected_of_it(heard: bool) -> None:
    fleet = Fleet({"n1": "a"})
    reject(fleet)
    fleet.look()
    assert accepted(fleet) == ("False", "CountConflict")
    made_again(fleet)
    if heard:  # the node has its spec, and has not answered it
        fleet.look()
    fleet.look()
    assert accepted(fleet) == ("True", "Converged")
    fleet.says("n1", a="Changing")
    reject(fleet)
    fleet.look()
    assert accepted(fleet) == ("False", "CountConflict")


def reject(fleet: Fleet) -> None:
    """The node lists a rejection, which names the policy and no uid."""
    body = fleet.nodes["n1"]
    rejected = [{"policy": "a", "device": "0000:01:00.0", "reason": "CountConflict", "message": "z has 2"}]
    fleet.nodes["n1"] = {**body, "status": {**body["status"], "rejected": rejected}}


def accepted(fleet: Fleet) -> tuple[str, str]:
    conditions = fleet.policies["a"]["status"]["conditions"]
    return next((one["status"], one["reason"]) for one in conditions if one["type"] == "Accepted")
