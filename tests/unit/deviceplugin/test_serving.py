"""Between pool file and kubelet: lists that are true, registrations that mend themselves, one process for all of it."""

import asyncio

import grpc
import pytest
from plugin_node import FAST, SLOW, Node

from virtfn_host.linux import poolfile


async def test_a_published_pool_is_registered_with_all_its_devices(node: Node) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    assert sorted(node.kubelet.health(FAST)) == [str(vf) for vf in node.vfs()]


async def test_a_container_gets_its_group_and_the_ledger_knows_first(node: Node) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    vf = node.vfs()[1]
    answer = await node.kubelet.allocate(FAST, str(vf))
    assert answer.envs["PCIDEVICE_VIRTFN_DEV_FAST"] == str(vf)
    assert answer.devices[0].host_path == "/dev/vfio/vfio"
    ledger = poolfile.read_ledger(node.ledger)
    assert ledger is not None
    assert [entry.address for entry in ledger.allocations] == [vf]


async def test_what_cannot_be_noted_is_not_handed_out(node: Node) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    node.ledger.unlink()
    node.ledger.mkdir()
    with pytest.raises(grpc.aio.AioRpcError, match="cannot be written"):
        await node.kubelet.allocate(FAST, str(node.vfs()[0]))
    node.ledger.rmdir()


async def test_an_unknown_device_is_refused_by_name(node: Node) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    with pytest.raises(grpc.aio.AioRpcError, match=r"0000:09:10\.0 is not in virtfn\.dev/fast"):
        await node.kubelet.allocate(FAST, "0000:09:10.0")


async def test_many_containers_at_once_are_all_answered_and_noted(node: Node) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    await asyncio.gather(*(node.kubelet.allocate(FAST, str(vf)) for vf in node.vfs() * 5))
    ledger = poolfile.read_ledger(node.ledger)
    assert ledger is not None
    assert len(ledger.allocations) == 15


async def test_a_restarted_kubelet_gets_everything_again_on_a_new_socket(node: Node) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    await node.kubelet.stop()
    await node.kubelet.start()
    await node.all_healthy()
    assert len(set(node.kubelet.sockets)) == len(node.kubelet.sockets) >= 2


async def test_a_cut_stream_is_registered_again(node: Node) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    for _ in range(3):
        await node.kubelet.cut(FAST)
        await node.all_healthy()


async def test_a_refused_registration_is_tried_again(node: Node) -> None:
    node.kubelet.refuse = 2
    node.publish(node.pool())
    await node.all_healthy()


async def test_a_kubelet_that_never_asks_for_the_list_is_registered_with_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtfn_deviceplugin.server.STREAM_DEADLINE", 0.1)
    node.kubelet.deaf = 1
    node.publish(node.pool())
    await node.all_healthy()


async def test_a_second_pool_that_comes_and_goes_never_touches_the_first(node: Node) -> None:
    first = node.pool()
    node.publish(first)
    await node.all_healthy()
    plugin = node.kubelet.plugins[FAST]
    for _ in range(20):
        node.publish(first, node.pool(SLOW, number=1))
        await node.all_healthy(SLOW)
        node.publish(first)
        await node.kubelet.until(lambda: "Healthy" not in node.kubelet.health(SLOW).values())
    assert node.kubelet.plugins[FAST] is plugin
    assert plugin.lists == 1


async def test_a_function_that_leaves_its_driver_is_unhealthy_and_comes_back(node: Node) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    vf = node.vfs()[0]
    node.kernel.write(node.kernel.devices / str(vf) / "driver/unbind", str(vf))
    await node.kubelet.until(lambda: node.kubelet.health(FAST)[str(vf)] == "Unhealthy")
    node.kernel.write(node.kernel.drivers / "vfio-pci/bind", str(vf))
    await node.all_healthy()


@pytest.mark.parametrize("content", [None, "", "half a po", '{"version":2}'])
async def test_a_missing_or_garbled_pool_file_changes_nothing_and_is_said(node: Node, content: str | None) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    if content is None:
        node.pools.unlink()
    else:
        node.pools.write_text(content)
    await node.kubelet.until(lambda: bool(node.manager.complaint))
    assert list(node.kubelet.health(FAST).values()) == ["Healthy"] * 3
    vf = node.vfs()[0]
    node.kernel.write(node.kernel.devices / str(vf) / "driver/unbind", str(vf))
    await node.kubelet.until(lambda: node.kubelet.health(FAST)[str(vf)] == "Unhealthy")
    node.publish()
    await node.kubelet.until(lambda: not node.manager.complaint and not node.manager.servers)


async def test_a_pool_file_of_another_boot_is_not_served(node: Node) -> None:
    node.publish(node.pool(), boot_id="yesterday")
    await node.kubelet.until(lambda: "another boot" in node.manager.complaint)
    assert node.manager.servers == {}
