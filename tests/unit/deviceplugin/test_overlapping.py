"""In an upgrade two plugins run for a moment: the kubelet is never without one, and nothing that one noted is lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from overlapping import OverlappingKubelet
from plugin_node import FAST, SLOW, Node, plugin_node

from virtfn_deviceplugin import manager as manager_module
from virtfn_deviceplugin.manager import ServerManager
from virtfn_deviceplugin.v1beta1 import api_pb2 as wire
from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux import poolfile


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    """A node whose kubelet tells plugins apart, and that looks more often than usual."""
    monkeypatch.setattr(manager_module, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(manager_module, "CHECK_EVERY", 0.05)
    async with plugin_node(tmp_path, OverlappingKubelet) as made:
        made.publish(made.pool(), made.pool(SLOW, 1))
        await made.kubelet.until(lambda: made.manager.ready)
        yield made


def kubelet(node: Node) -> OverlappingKubelet:
    assert isinstance(node.kubelet, OverlappingKubelet)
    return node.kubelet


async def both_registered(node: Node) -> None:
    await node.kubelet.until(lambda: all(kubelet(node).count(name) == 2 for name in (FAST, SLOW)))


def noted(node: Node) -> set[str]:
    found = poolfile.read_ledger(node.ledger)
    return set() if found is None else {str(entry.address) for entry in found.allocations}


def granted(node: Node) -> set[str]:
    found = poolfile.read_grants(node.grants)
    return set() if found is None else {str(grant.address) for grant in found.grants}


async def allocate(node: Node, number: int, vf: PciAddress, name: str = FAST) -> None:
    """Ask the first plugin (0) or the second one (1)."""
    one = wire.ContainerAllocateRequest(devices_ids=[str(vf)])
    stub = kubelet(node).known[name][number].stub
    await stub.Allocate(wire.AllocateRequest(container_requests=[one]), timeout=5)


async def test_the_kubelet_is_never_without_a_plugin_and_each_allocate_is_answered(node: Node) -> None:
    pods = asyncio.create_task(come_and_go(node))
    async with node.plugin() as new:
        await node.kubelet.until(lambda: new.ready)
        node.running.cancel()
        await asyncio.wait([node.running])
        await node.kubelet.until(lambda: kubelet(node).count(FAST) == kubelet(node).count(SLOW) == 1)
        await node.all_healthy()
        pods.cancel()
        await asyncio.gather(pods, return_exceptions=True)
        assert not pods.done() or pods.cancelled(), pods.exception()
        assert kubelet(node).without == 0
        await node.kubelet.allocate(FAST, str(node.vfs()[0]))


async def come_and_go(node: Node) -> None:
    while True:
        for vf in node.vfs():
            await node.kubelet.allocate(FAST, str(vf))
            assert node.kubelet.health(FAST) == dict.fromkeys(map(str, node.vfs()), "Healthy")


@pytest.mark.parametrize("order", ["010", "101", "011", "000", "111"])
async def test_what_either_hands_out_is_in_ledger_and_grants(node: Node, order: str) -> None:
    async with node.plugin():
        await both_registered(node)
        given = set()
        for vf, number in zip(node.vfs(), order, strict=True):
            await allocate(node, int(number), vf)
            given.add(str(vf))
            assert noted(node) == granted(node) == given


async def test_both_hand_out_at_the_same_time_and_all_is_noted(node: Node) -> None:
    async with node.plugin():
        await both_registered(node)
        asked = [(number, vf, name) for name, pf in ((FAST, 0), (SLOW, 1)) for number, vf in enumerate(node.vfs(pf))]
        await asyncio.gather(*(allocate(node, number % 2, vf, name) for number, vf, name in asked))
        assert noted(node) == granted(node) == {str(vf) for _, vf, _ in asked}


async def test_no_file_is_said_to_be_spoiled_while_two_run(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    async with node.plugin():
        await both_registered(node)
        for turn in range(12):
            await allocate(node, turn % 2, node.vfs()[turn % 3])
            await asyncio.sleep(0)
        assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


async def test_a_container_that_one_was_asked_for_is_started_by_the_other(node: Node) -> None:
    async with node.plugin():
        await both_registered(node)
        for number, vf in enumerate(node.vfs()[:2]):
            await allocate(node, number, vf)
            other = kubelet(node).known[FAST][1 - number].stub
            await other.PreStartContainer(wire.PreStartContainerRequest(devices_ids=[str(vf)]), timeout=5)


async def test_one_that_was_not_given_is_refused_by_both(node: Node) -> None:
    """The counter-proof of the test before."""
    async with node.plugin():
        await both_registered(node)
        (vf, *_) = node.vfs()
        await allocate(node, 0, vf)
        node.remove_vfs()
        node.make_vfs((1, 0))
        for plugin in list(kubelet(node).known[FAST]):
            with pytest.raises(grpc.aio.AioRpcError):
                await plugin.stub.PreStartContainer(wire.PreStartContainerRequest(devices_ids=[str(vf)]), timeout=5)


@pytest.mark.parametrize("first", [True, False])
async def test_the_files_stay_until_the_last_one_ends(node: Node, first: bool) -> None:
    registrations = node.ledger.with_name("registrations.json")
    async with node.plugin() as new:
        await both_registered(node)
        if first:
            node.running.cancel()
            await asyncio.wait([node.running])
            assert (node.manager.last, registrations.exists()) == (False, True)
    last = new if first else node.manager
    if not first:
        assert (new.last, registrations.exists()) == (False, True)
        node.running.cancel()
        await asyncio.wait([node.running])
    assert (last.last, registrations.exists()) == (True, False)


async def test_one_is_ready_only_when_the_kubelet_has_its_lists(node: Node) -> None:
    node.pools.unlink()
    async with node.plugin() as new:
        await node.kubelet.until(lambda: new.turned > new._began + 0.2)
        assert not new.ready, "there is no pool file yet"
        node.kubelet.deaf = 1
        node.publish(node.pool())
        await node.kubelet.until(lambda: node.kubelet.deaf == 0)
        assert not new.ready, "the kubelet has not asked for the list"


async def test_one_is_ready_with_an_empty_pool_file(node: Node) -> None:
    node.publish()
    async with node.plugin() as new:
        await node.kubelet.until(lambda: new.ready)


async def test_one_that_is_not_registered_for_long_holds_no_upgrade_up(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.pools.unlink()
    async with node.plugin() as new:
        assert not new.ready
        monkeypatch.setattr(manager_module, "PATIENCE", 0)
        assert new.ready


async def test_one_that_was_ready_stays_ready_without_agent_or_kubelet(node: Node) -> None:
    manager: ServerManager = node.manager
    node.pools.unlink()
    await kubelet(node).cut(FAST)
    await node.kubelet.until(lambda: manager.complaint != "")
    assert manager.ready
