"""The own Node is read from the API server's memory, with the right that the agent has anyway."""

import pytest
from aiohttp import web
from api_server import ApiServer, refusal

from virtfn_operator.agent.node import NodeObject
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.settings import ApiServer as Where

OWN = "/api/v1/nodes/n1"


async def shown(api: ApiServer) -> dict[str, int]:
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=1) as kube:
        return dict(await NodeObject(kube, "n1", instance="a").shown())


async def test_what_the_node_shows_is_read_by_one_request_that_costs_etcd_nothing() -> None:
    api, queries = ApiServer(), []

    async def note(request: web.Request) -> web.StreamResponse | None:
        queries.append((request.method, request.path, dict(request.query)))
        return None

    await api.start()
    await api.put(
        OWN, {"metadata": {"name": "n1"}, "status": {"allocatable": {"virtfn.dev/fast": "3", "cpu": "1900m"}}}
    )
    api.fault = note
    assert await shown(api) == {"virtfn.dev/fast": 3}
    assert queries == [("GET", OWN, {"resourceVersion": "0"})]
    await api.stop()


@pytest.mark.parametrize("status", [403, 404, 500])
async def test_a_refusal_is_an_error(status: int) -> None:
    api = ApiServer()

    async def refuse(_: web.Request) -> web.StreamResponse:
        return refusal(status, "no")

    await api.start()
    api.fault = refuse
    with pytest.raises(KubeError):
        await shown(api)
    await api.stop()
