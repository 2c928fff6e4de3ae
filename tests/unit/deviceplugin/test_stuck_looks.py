"""A request that waits for its devices or its disk holds up no request for other devices."""

import asyncio
import threading
from collections.abc import Iterable

import pytest
from plugin_node import FAST, SLOW, Node

from virtfn_deviceplugin import manager as manager_module
from virtfn_deviceplugin.grant import granter as granter_module
from virtfn_deviceplugin.grant.functions import shown
from virtfn_deviceplugin.grant.shown import Shown
from virtfn_deviceplugin.v1beta1 import api_pb2 as wire
from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.read.sysfs import Sysfs


async def allocate(node: Node, name: str, vf: PciAddress) -> None:
    """Allocate without a deadline, as a kubelet does."""
    one = wire.ContainerAllocateRequest(devices_ids=[str(vf)])
    async with asyncio.timeout(25):
        await node.kubelet.plugins[name].stub.Allocate(wire.AllocateRequest(container_requests=[one]))


@pytest.mark.parametrize("number", [1, 7, 24])
async def test_reads_that_hang_hold_up_no_other_resource(
    node: Node, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.publish(node.pool(), node.pool(SLOW, 1))
    await node.all_healthy()
    await node.all_healthy(SLOW)
    stuck, go_on = node.vfs(), threading.Event()

    def look(sysfs: Sysfs, address: PciAddress, *, both: bool, rdma: Iterable[str]) -> Shown:
        if address in stuck:
            go_on.wait(30)
        return shown(sysfs, address, both=both, rdma=rdma)

    monkeypatch.setattr(granter_module, "shown", look)
    waiting = [asyncio.create_task(allocate(node, FAST, stuck[n % 3])) for n in range(number)]
    await asyncio.sleep(0)
    for vf in node.vfs(1):
        await allocate(node, SLOW, vf)
    assert not any(one.done() for one in waiting)
    go_on.set()
    assert len(await asyncio.gather(*waiting)) == number


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_a_look_at_all_functions_that_hangs_holds_up_no_allocate(
    node: Node, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    began, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def look(sysfs: Sysfs, address: PciAddress, *, both: bool = False) -> Shown:
        if address == node.vfs(1)[number]:
            loop.call_soon_threadsafe(began.set)
            go_on.wait(30)
        return shown(sysfs, address, both=both)

    monkeypatch.setattr(manager_module, "shown", look)
    node.publish(node.pool(), node.pool(SLOW, 1))
    await began.wait()
    for vf in node.vfs():
        await allocate(node, FAST, vf)
    assert not node.kubelet.health(SLOW)
    go_on.set()
    await node.all_healthy(SLOW)
