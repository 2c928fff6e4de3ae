"""The agent's own object is asked for again and again: while nothing changed, only for its version."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from api_server import OURS, ApiServer

from virtfn_operator.agent.node import NodeObject
from virtfn_operator.agent.ports import Patience
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.settings import ApiServer as Where

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

OWN = f"{OURS}/sriovnodes/n1"


class Api(ApiServer):
    """Knows which reads went to etcd."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = 0
        self.fault = self.count

    async def count(self, request: web.Request) -> web.StreamResponse | None:
        remembered = request.query.get("resourceVersion") == "0"
        assert not remembered or "as=PartialObjectMetadata;" in request.headers["Accept"]
        self.whole += request.method == "GET" and request.path == OWN and not remembered
        return None


async def look(api: Api, node: NodeObject) -> tuple[Mapping[str, Any], int]:
    before = api.whole
    return await node.ensure(), api.whole - before


async def test_only_what_changed_is_read_whole() -> None:
    api = Api()
    await api.start()
    await api.put("/api/v1/nodes/n1", {"metadata": {"name": "n1"}})
    body = {"metadata": {"name": "n1"}, "spec": {"policies": []}}
    await api.put(OWN, body)
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=1) as kube:
        node = NodeObject(kube, "n1", instance="a")
        assert (await look(api, node))[1] == 1
        assert await look(api, node) == (api.objects[OWN], 0)

        await node.report({"bootId": "b"})  # our own write is known
        assert await look(api, node) == (api.objects[OWN], 0)

        await api.put(OWN, {**body, "spec": {"policies": [], "mayChange": True}})
        found, read = await look(api, node)
        assert (found["spec"]["mayChange"], read) == (True, 1)

        await api.put(OWN, {**body, "status": {"bootId": "somebody else's"}})
        assert (await look(api, node))[1] == 1
        assert node.status == {"bootId": "somebody else's"}

        del api.objects[OWN]
        found, _ = await look(api, node)
        assert found == api.objects[OWN]  # made anew
    await api.stop()


@pytest.mark.parametrize("version", [None, 7, ""])
async def test_a_version_that_is_none_is_believed_by_nobody(version: object) -> None:
    api = Api()
    await api.start()
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=1) as kube:
        api.objects[OWN] = {"metadata": {"name": "n1", "resourceVersion": version}}
        node = NodeObject(kube, "n1", instance="a")
        await node.ensure()
        assert (await look(api, node))[1] == 1
    await api.stop()


async def test_a_refusal_is_no_sign_that_nothing_changed() -> None:
    api = Api()
    await api.start()
    await api.put(OWN, {"metadata": {"name": "n1"}})
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=1) as kube:
        node = NodeObject(kube, "n1", instance="a")
        await node.ensure()
        api.token = "another"
        with pytest.raises(KubeError, match="401"):
            await node.ensure()
    await api.stop()


async def test_what_is_held_back_is_said_as_soon_as_it_may_be(fake_node: "type[FakeNode]") -> None:
    class HeldBack(fake_node):  # type: ignore[valid-type, misc]
        asked = 0

        async def ensure(self) -> dict[str, Any]:
            self.asked += 1
            if self.asked == 1:
                raise KubeError(0, "not sent", retry_in=0.05, held=True)
            body: dict[str, Any] = await super().ensure()
            return body

    node = HeldBack(None)
    node.host_away = True  # turns come at short distance
    agent = node.agent(Patience(retry=0.01, retry_limit=0.02, settle=0.0, retell=3600.0))
    running = asyncio.create_task(agent.run())
    async with asyncio.timeout(5.0):
        while node.asked < 2:
            await asyncio.sleep(0.01)
    agent.stop()
    await running
