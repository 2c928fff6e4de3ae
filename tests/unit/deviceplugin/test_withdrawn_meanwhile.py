"""A function that is withdrawn while its request waits for the disk is not given: the agent may have found it free."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from overlapping import OverlappingKubelet
from plugin_node import FAST, SLOW, Node, plugin_node

from virtfn_deviceplugin import manager as manager_module
from virtfn_deviceplugin.v1beta1 import api_pb2 as wire
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolDevice
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux import poolfile

WAITS: dict[str, Callable[[Node], tuple[Any, str]]] = {
    "device-info": lambda node: (node.manager._granting._effects._infos, "put"),
    "grants": lambda node: (node.manager._grants, "note"),
    "ledger": lambda node: (node.manager._ledger, "note"),
}
"""The writes of one request, in their order."""


class HeldUp:
    """A request of the first plugin that waits for one of its writes until the test says so."""

    def __init__(self, node: Node, write: str = "grants") -> None:
        self._begun, self._go_on = asyncio.Event(), threading.Event()
        loop, (written, method) = asyncio.get_running_loop(), WAITS[write](node)
        real = getattr(written, method)

        def held_up(*arguments: object) -> object:
            setattr(written, method, real)  # only the first one waits
            loop.call_soon_threadsafe(self._begun.set)
            self._go_on.wait(30)
            return real(*arguments)

        setattr(written, method, held_up)

    async def ask(self, node: Node, vf: PciAddress) -> "asyncio.Task[wire.ContainerAllocateResponse]":
        asked = asyncio.create_task(node.kubelet.allocate(FAST, str(vf)))
        await self._begun.wait()
        return asked

    async def refusal(self, asked: "asyncio.Task[wire.ContainerAllocateResponse]") -> str:
        """Let it go on; return why it is refused, or nothing."""
        self._go_on.set()
        try:
            await asked
        except grpc.aio.AioRpcError as error:
            return error.details() or "without a word"
        return ""


async def served(node: Node) -> PciAddress:
    node.publish(node.pool())
    await node.all_healthy()
    return node.vfs()[0]


def but(pool: DevicePool, vf: PciAddress, **changed: object) -> DevicePool:
    return replace(pool, devices=tuple(_but(d, changed) if d.address == vf else d for d in pool.devices))


def _but(device: PoolDevice, changed: dict[str, Any]) -> PoolDevice:
    return replace(device, **changed)


def withdraw(node: Node, vf: PciAddress) -> None:
    node.publish(but(node.pool(), vf, healthy=False, reason=Reason.RECONFIGURING))


def move(node: Node, vf: PciAddress) -> None:
    device = next(device for device in node.pool().devices if device.address == vf)
    node.publish(node.pool_without(vf), DevicePool(resource_name=SLOW, devices=(device,)))


AWAY: dict[str, tuple[Callable[[Node, PciAddress], None], str]] = {
    "withdrawn for a change": (withdraw, "of virtfn.dev/fast is withdrawn: Reconfiguring"),
    "withheld": (
        lambda node, vf: node.publish(but(node.pool(), vf, healthy=False, reason=Reason.VFS_IN_USE, message="is up")),
        "of virtfn.dev/fast is withdrawn: VfsInUse: is up",
    ),
    "in no pool any more": (lambda node, vf: node.publish(node.pool_without(vf)), "is not in virtfn.dev/fast"),
    "in another pool": (move, "is not in virtfn.dev/fast"),
    "with the whole pool": (lambda node, _: node.publish(), "virtfn.dev/fast is withdrawn: it is not on offer"),
    "on another driver": (
        lambda node, vf: node.publish(but(node.pool(), vf, driver="igbvf")),
        "is withdrawn: it was changed while it was handed out",
    ),
}


def left_behind(node: Node) -> list[object]:
    """What a refused request must not leave. Its entry in the ledger stays, because an entry cannot be taken back."""
    grants = poolfile.read_grants(node.grants)
    return [*(grants.grants if grants else ()), *node.device_infos.glob("*"), *node.specs.glob("*")]


@pytest.mark.parametrize("write", WAITS)
@pytest.mark.parametrize("away", AWAY)
async def test_it_is_refused_and_nothing_of_it_is_left(node: Node, away: str, write: str) -> None:
    (happens, said), vf = AWAY[away], await served(node)
    held_up = HeldUp(node, write)
    asked = await held_up.ask(node, vf)
    happens(node, vf)
    await node.kubelet.until(lambda: _unhealthy_by(node.manager, vf))
    assert said in await held_up.refusal(asked)
    assert left_behind(node) == []


def removed(node: Node) -> None:
    node.pools.unlink()


def damaged(node: Node) -> None:
    node.pools.write_text("{")


def of_another_boot(node: Node) -> None:
    node.publish(node.pool(), boot_id="of-another")


no_list = pytest.mark.parametrize("pool_file", [removed, damaged, of_another_boot])


@no_list
async def test_it_stays_withdrawn_if_the_pool_file_cannot_be_read_after_that(
    node: Node, pool_file: Callable[[Node], None]
) -> None:
    vf = await served(node)
    held_up = HeldUp(node)
    asked = await held_up.ask(node, vf)
    withdraw(node, vf)
    await node.kubelet.until(lambda: node.kubelet.health(FAST).get(str(vf)) == "Unhealthy")
    pool_file(node)
    assert "is withdrawn: Reconfiguring" in await held_up.refusal(asked)


@no_list
@pytest.mark.parametrize("noticed", [True, False])
async def test_a_pool_file_that_cannot_be_read_withdraws_nothing(
    node: Node, pool_file: Callable[[Node], None], noticed: bool
) -> None:
    vf = await served(node)
    held_up = HeldUp(node)
    asked = await held_up.ask(node, vf)
    pool_file(node)
    if noticed:
        await node.kubelet.until(lambda: node.manager.complaint != "")
    assert await held_up.refusal(asked) == ""


OTHERS: dict[str, Callable[[Node, PciAddress], None]] = {
    "nothing": lambda node, _: node.publish(node.pool()),
    "another function is withdrawn": lambda node, _: withdraw(node, node.vfs()[1]),
    "another function leaves": lambda node, _: node.publish(node.pool_without(node.vfs()[2])),
    "another pool of its name, which is not served": lambda node, _: node.publish(node.pool(), node.pool(FAST, 1)),
    "another pool comes": lambda node, _: node.publish(node.pool(), node.pool(SLOW, 1)),
}


@pytest.mark.parametrize("change", OTHERS)
@pytest.mark.parametrize("noticed", [True, False])
async def test_a_change_that_is_not_about_it_refuses_nothing(node: Node, change: str, noticed: bool) -> None:
    vf = await served(node)
    held_up = HeldUp(node)
    asked = await held_up.ask(node, vf)
    OTHERS[change](node, vf)
    if noticed:
        turned = node.manager.turned
        await node.kubelet.until(lambda: node.manager.turned > turned + 0.1)
    assert await held_up.refusal(asked) == ""
    assert len(left_behind(node)) == 2


async def test_of_two_pods_only_the_one_of_the_new_pool_gets_it(node: Node) -> None:
    vf = await served(node)
    held_up = HeldUp(node)
    asked = await held_up.ask(node, vf)
    withdraw(node, vf)
    await node.kubelet.until(lambda: node.kubelet.health(FAST).get(str(vf)) == "Unhealthy")
    move(node, vf)
    await node.all_healthy(SLOW, 1)
    second = asyncio.create_task(node.kubelet.allocate(SLOW, str(vf)))
    assert "is not in virtfn.dev/fast" in await held_up.refusal(asked)
    assert (await second).envs["PCIDEVICE_VIRTFN_DEV_SLOW"] == str(vf)
    await node.kubelet.pre_start(SLOW, str(vf))
    with pytest.raises(grpc.aio.AioRpcError, match=r"its last grant is of virtfn\.dev/slow"):
        await node.kubelet.pre_start(FAST, str(vf))


async def test_one_that_was_made_anew_and_is_on_offer_again_starts_only_behind_its_own_node(node: Node) -> None:
    vf = await served(node)
    held_up = HeldUp(node)
    asked = await held_up.ask(node, vf)
    withdraw(node, vf)
    await node.kubelet.until(lambda: node.kubelet.health(FAST).get(str(vf)) == "Unhealthy")
    node.remove_vfs()
    node.kernel.groups.renumber()
    node.make_vfs((1, 0))
    node.publish(node.pool())
    await node.all_healthy()
    await held_up.refusal(asked)
    with pytest.raises(grpc.aio.AioRpcError, match="but it is behind /dev/vfio/"):
        await node.kubelet.pre_start(FAST, str(vf))


async def test_a_pool_file_that_is_as_it_was_is_not_read_again(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    vf, reads, real = await served(node), 0, poolfile.read

    def read(path: Path) -> object:
        nonlocal reads
        reads += 1
        return real(path)

    monkeypatch.setattr(poolfile, "read", read)
    for _ in range(3):
        await node.kubelet.allocate(FAST, str(vf))
    assert reads == 0


# --- two plugins, in an upgrade --------------------------------------------------------------------------------------


@pytest.fixture
async def of_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    """A node whose kubelet tells plugins apart."""
    monkeypatch.setattr(manager_module, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(manager_module, "CHECK_EVERY", 0.05)
    async with plugin_node(tmp_path, OverlappingKubelet) as made:
        yield made


@pytest.mark.parametrize("away", AWAY)
async def test_the_kubelet_may_hear_of_it_by_the_other_plugin(
    of_two: Node, away: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, (happens, said) = of_two, AWAY[away]
    vf = await served(node)
    held_up = HeldUp(node)
    asked = await held_up.ask(node, vf)
    async with node.plugin() as new:
        await node.kubelet.until(lambda: new.ready)
        monkeypatch.setattr(node.manager, "_look_at_pool_file", lambda: False)
        happens(node, vf)
        await node.kubelet.until(lambda: _unhealthy_by(new, vf))
        assert node.manager.servers[FAST].offered.devices[str(vf)].healthy
        assert said in await held_up.refusal(asked)
    assert left_behind(node) == []


def _unhealthy_by(manager: manager_module.ServerManager, vf: PciAddress) -> bool:
    server = manager.servers.get(FAST)
    device = None if server is None else server.offered.devices.get(str(vf))
    return device is None or not device.healthy
