"""An answer 404 is not a deletion: it may be wrong, or late. The object is listed again, and nothing is given back."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import api_faults
import pytest
from aiohttp import web
from api_server import OURS, ApiServer, Fault, refusal
from controller_at_work import POLICY, SPEC, Controller, with_a_policy

from virtfn_operator.controller.picture import ObjectKind


@pytest.fixture
async def controller(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Controller]:
    async with with_a_policy(monkeypatch) as found:
        yield found


def once(path: str, api: ApiServer, *, made_again: bool = False) -> Fault:
    """Answer 404 to the first write there; if so, the object is deleted, and made again before the answer arrives."""
    answered = Counter[str]()

    async def say(request: web.Request) -> web.StreamResponse | None:
        if request.method != "PATCH" or request.path != path or answered[path]:
            return None
        answered[path] += 1
        if made_again:
            own = path.removesuffix("/status")
            body = api.objects[own]
            await api.delete(own)
            await api.put(own, {"metadata": {"name": body["metadata"]["name"]}, "spec": body["spec"]})
            await asyncio.sleep(0.1)  # the watches are faster than this answer
        return refusal(404, "not found")

    return say


async def edit(controller: Controller, **spec: Any) -> int:
    """Edit the policy; return its new generation."""
    body = controller.api.objects[POLICY]
    found = await controller.api.put(POLICY, {**body, "spec": {**SPEC, **spec}})
    return int(found["metadata"]["generation"])


def emptied(controller: Controller, since: int) -> list[str]:
    """The SriovNodes whose spec asked for no policy after this version."""
    later = [(path, event["object"]) for version, path, event in controller.api.history if version > since]
    return [path for path, body in later if "/sriovnodes/" in path and not body["spec"]["policies"]]


async def test_a_policy_whose_status_is_answered_so_is_not_given_back(controller: Controller) -> None:
    controller.api.fault, since = once(f"{POLICY}/status", controller.api), controller.api.version
    generation = await edit(controller, priority=5)
    await controller.until(lambda: controller.api.objects[POLICY]["status"]["observedGeneration"] == generation)
    await controller.put("q")
    await controller.until(lambda: controller.asked("n1") == controller.asked("n2") == ["p", "q"])
    assert emptied(controller, since) == []


async def test_a_policy_that_was_made_again_before_that_answer_came_is_carried_out(controller: Controller) -> None:
    controller.api.fault = once(f"{POLICY}/status", controller.api, made_again=True)
    old = controller.api.objects[POLICY]["metadata"]["uid"]
    await edit(controller, priority=5)
    await controller.until(lambda: controller.api.objects[POLICY]["metadata"]["uid"] != old)
    await controller.until(lambda: "status" in controller.api.objects[POLICY])
    await controller.put("q")
    await controller.until(lambda: controller.asked("n1") == controller.asked("n2") == ["p", "q"])


@pytest.mark.parametrize("node", ["n1", "n2"])
async def test_a_node_whose_spec_is_answered_so_is_asked_what_comes_next(controller: Controller, node: str) -> None:
    controller.api.fault = once(f"{OURS}/sriovnodes/{node}", controller.api)
    await controller.put("q")
    await controller.until(lambda: controller.asked("n1") == controller.asked("n2") == ["p", "q"])


@pytest.mark.parametrize("kind", [ObjectKind.POLICY, ObjectKind.STATE])
async def test_what_is_deleted_and_no_watch_tells_of_is_forgotten(controller: Controller, kind: ObjectKind) -> None:
    name = "p" if kind is ObjectKind.POLICY else "n1"
    path = f"{OURS}/{kind}/{name}"
    del controller.api.objects[path]
    await controller.put("q")
    if kind is ObjectKind.POLICY:  # so that its status is to be written
        found = controller.api.objects[f"{OURS}/sriovnodes/n2"]
        await controller.api.put(f"{OURS}/sriovnodes/n2", {**found, "status": {"observedGeneration": "?"}})
    await controller.until(lambda: name not in controller.reconciler._picture.objects[kind].known)


async def test_a_server_that_answers_so_for_ever_is_not_listed_again_and_again(controller: Controller) -> None:
    before = controller.lists()
    controller.api.fault = api_faults.named(controller.api)["404 for writes"]
    await controller.put("q")
    await asyncio.sleep(2.0)
    # Pauses of 10 ms at first, doubled each time.
    assert 1 <= controller.lists() - before <= 20
    controller.api.fault = None
    await edit(controller, priority=5)
    await controller.until(lambda: controller.asked("n1") == controller.asked("n2") == ["p", "q"])
