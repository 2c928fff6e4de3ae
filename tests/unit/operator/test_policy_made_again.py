"""A policy that is deleted and made again under its name is another one: nothing of the old one is said of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from api_server import OURS
from controller_at_work import SPEC, Controller, at_work

POLICY = f"{OURS}/sriovpolicies/p"


@pytest.fixture
async def controller(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Controller]:
    async with at_work(monkeypatch) as found:
        await found.put("p")
        await found.until(lambda: found.asked("n1") == found.asked("n2") == ["p"])
        await found.until(lambda: "status" in found.api.objects[POLICY])
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
