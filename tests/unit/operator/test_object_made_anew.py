"""The agent's SriovNode is deleted and made anew: its turn ended with the old one, and it tells the new one all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from api_server import OURS, ApiServer

from virtfn_operator.agent.node import NodeObject
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.settings import ApiServer as Where

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

OWN = f"{OURS}/sriovnodes/n1"


@pytest.mark.parametrize("spec", [None, {}, {"mayChange": True}])
async def test_a_turn_ends_with_the_object_that_granted_it(fake_node: type[FakeNode], spec: Any) -> None:
    node = fake_node("igbvf", "igbvf")
    agent = node.agent()
    agent.see(node.ask(node.config(2)))
    metadata = {"name": "n1", "uid": "another", "generation": 1}
    node.body = {"metadata": metadata} if spec is None else {"metadata": metadata, "spec": spec}
    await agent.turn()
    assert node.drivers == ["igbvf", "igbvf"]
    assert node.ready() == ("False", "WaitingForTurn")
    node.ask(node.config(2))
    agent.see(node.body)
    await agent.turn()
    assert node.drivers == ["vfio-pci", "vfio-pci"]


async def test_an_object_that_took_the_place_of_another_is_told_all() -> None:
    api = ApiServer()
    await api.start()
    await api.put(OWN, {"metadata": {"name": "n1", "uid": "old"}})
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=1) as kube:
        node = NodeObject(kube, "n1", instance="a")
        await node.report({"bootId": "b", "kernel": "6.1"})
        del api.objects[OWN]
        await api.put(OWN, {"metadata": {"name": "n1", "uid": "new"}})
        for _ in range(2):
            await node.report({"bootId": "b", "kernel": "6.2"})
        assert api.objects[OWN]["status"] == {"bootId": "b", "kernel": "6.2"}
    await api.stop()
