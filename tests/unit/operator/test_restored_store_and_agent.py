"""An agent whose SriovNode goes back to an older copy reads it again, obeys its spec and reports all that is so now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from api_server import OURS, ApiServer

from virtfn_operator.agent.node import NodeObject
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.settings import ApiServer as Where

OWN = f"{OURS}/sriovnodes/n1"
NOW = {"bootId": "b2", "kernel": "6.12", "conditions": []}


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    found = ApiServer()
    await found.start()
    await found.put("/api/v1/nodes/n1", {"metadata": {"name": "n1", "uid": "node-uid"}})
    yield found
    await found.stop()


def kube(api: ApiServer) -> Kube:
    clock = iter(range(0, 10**9, 1000))  # no request is held for long
    where = Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None)
    return Kube(where, connections=1, clock=lambda: float(next(clock)))


OLDER: dict[str, dict[str, Any]] = {
    "an older status": {"bootId": "b1", "kernel": "6.1"},
    "fields that are gone since": {"bootId": "b2", "kernel": "6.12", "plan": {"steps": 3}, "conditions": []},
    "no status": {},
}


@pytest.mark.parametrize("older", OLDER.values(), ids=OLDER)
async def test_a_status_older_than_what_was_reported_is_reported_anew(api: ApiServer, older: dict[str, Any]) -> None:
    await api.put(OWN, {"metadata": {"name": "n1"}, "spec": {"policies": []}, "status": older})
    copy = api.copy()
    async with kube(api) as client:
        node = NodeObject(client, "n1", instance="a")
        await node.ensure()
        await node.report(NOW)
        await node.report({**NOW, "kernel": "6.13"})
        await node.report(NOW)
        assert api.objects[OWN]["status"] == NOW
        api.restore(copy)
        await node.ensure()
        await node.report(NOW)
    assert api.objects[OWN]["status"] == NOW


async def test_the_spec_of_the_copy_counts(api: ApiServer) -> None:
    await api.put(OWN, {"metadata": {"name": "n1"}, "spec": {"policies": [{"name": "older"}]}})
    copy = api.copy()
    async with kube(api) as client:
        node = NodeObject(client, "n1", instance="a")
        await api.put(OWN, {**api.objects[OWN], "spec": {"policies": [{"name": "newer"}]}})
        assert (await node.ensure())["spec"] == {"policies": [{"name": "newer"}]}
        api.restore(copy)
        assert (await node.ensure())["spec"] == {"policies": [{"name": "older"}]}


async def test_an_object_that_the_copy_does_not_have_is_made_again(api: ApiServer) -> None:
    copy = api.copy()
    async with kube(api) as client:
        node = NodeObject(client, "n1", instance="a")
        await node.ensure()
        await node.report(NOW)
        api.restore(copy)
        assert OWN not in api.objects
        await node.ensure()
        await node.report(NOW)
    assert api.objects[OWN]["status"] == NOW
    assert api.objects[OWN]["metadata"]["ownerReferences"][0]["uid"] == "node-uid"
