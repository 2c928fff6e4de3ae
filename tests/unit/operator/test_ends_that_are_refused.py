"""A turn whose end is refused holds up no turn of other policies: its agent may have made the object too large."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from api_server import OURS, ApiServer, refusal

from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.controller.picture import ObjectKind
from virtfn_operator.controller.reconcile import Reconciler
from virtfn_operator.settings import ApiServer as Where

NODES = ("a1", "a2", "b1")
"""The policy `a` selects the first two, `b` the third."""


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    api = ApiServer()
    await api.start()
    for name in NODES:
        await api.put(f"/api/v1/nodes/{name}", {"metadata": {"name": name, "labels": {"of": name[0]}}})
        await api.put(f"{OURS}/sriovnodes/{name}", {"metadata": {"name": name}})
    for name in ("a", "b"):
        spec = {
            "nodeSelector": {"matchLabels": {"of": name}},
            "devices": [{"vendor": "8086"}],
            "virtualFunctions": {"count": 4, "pools": [{"resourceName": name}]},
        }
        await api.put(f"{OURS}/sriovpolicies/{name}", {"metadata": {"name": name}, "spec": spec})
    yield api
    await api.stop()


class Fleet:
    """The controller, and agents that say what a test wants."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.kube = Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=4)
        self.controller = Reconciler(self.kube, instance="c")

    async def says(self, name: str, *, disruptive: bool) -> None:
        body: Any = self.api.objects[f"{OURS}/sriovnodes/{name}"]
        outcomes = [
            {key: policy[key] for key in ("name", "uid", "generation")}
            | {"state": "Changing" if disruptive else "Ready", "reason": "Changing" if disruptive else "Converged"}
            for policy in body["spec"]["policies"]
        ]
        status = {"observedGeneration": body["metadata"]["generation"], "policies": outcomes}
        status |= {"plan": {"steps": 1, "disruptive": True}} if disruptive else {}
        told = await self.api.put(f"{OURS}/sriovnodes/{name}", {**body, "status": status})
        self.controller.tell(ObjectKind.STATE, "MODIFIED", told)

    def turns(self) -> list[str]:
        return [name for name in NODES if self.api.objects[f"{OURS}/sriovnodes/{name}"]["spec"]["mayChange"]]


@pytest.mark.parametrize("status", [413, 422, 500])
async def test_an_end_that_is_refused_holds_up_only_its_own_policy(api: ApiServer, status: int) -> None:
    fleet = Fleet(api)
    async with fleet.kube:
        await fleet.controller.reconcile()
        for name in ("a1", "a2"):
            await fleet.says(name, disruptive=True)
        await fleet.controller.reconcile()
        assert fleet.turns() == ["a1"]

        async def too_large(request: web.Request) -> web.StreamResponse | None:
            its = request.method == "PATCH" and request.path == f"{OURS}/sriovnodes/a1"
            return refusal(status, "the object is too large") if its else None

        api.fault = too_large
        await fleet.says("a1", disruptive=False)
        await fleet.says("b1", disruptive=True)
        for _ in range(3):
            await fleet.controller.reconcile()
        assert fleet.turns() == ["a1", "b1"]
