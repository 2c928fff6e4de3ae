"""A Node that does not say which one it is makes no SriovNode, and no turn of the agent fails for it."""

from typing import Any

import pytest
from api_server import ApiServer

from virtfn_operator.agent.node import NodeObject
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.settings import ApiServer as Where


@pytest.mark.parametrize("uid", [{}, {"uid": None}, {"uid": 7}, {"uid": ""}, {"uid": ["u"]}])
async def test_there_is_an_error_that_every_caller_knows(uid: dict[str, Any]) -> None:
    api = ApiServer()
    await api.start()
    await api.put("/api/v1/nodes/n1", {"metadata": {"name": "n1"}})
    api.objects["/api/v1/nodes/n1"]["metadata"] = {"name": "n1", **uid}
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=1) as kube:
        with pytest.raises(KubeError, match="uid"):
            await NodeObject(kube, "n1", instance="i").ensure()
    await api.stop()
    assert not [seen for seen in api.seen if seen.method == "POST"]
