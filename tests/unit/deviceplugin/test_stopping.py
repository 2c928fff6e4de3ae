"""A plugin that stops answers what it was asked before; a pod whose request is broken off would be refused for good."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from plugin_node import FAST, Node, plugin_node

from virtfn_deviceplugin import server as module
from virtfn_deviceplugin.v1beta1 import api_pb2 as wire

REQUESTS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "Allocate": (
        "allocate",
        lambda vf: wire.AllocateRequest(container_requests=[wire.ContainerAllocateRequest(devices_ids=[vf])]),
    ),
    "PreStartContainer": ("expect_still_granted", lambda vf: wire.PreStartContainerRequest(devices_ids=[vf])),
}


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node whose plugin serves one pool."""
    async with plugin_node(tmp_path) as made:
        made.publish(made.pool())
        await made.kubelet.until(lambda: made.manager.ready)
        yield made


class Slow:
    """Requests of one kind, which are answered when the test says so."""

    def __init__(self, node: Node, name: str) -> None:
        self.begun = asyncio.Event()
        self.go_on = threading.Event()
        granting, method = node.manager._granting, REQUESTS[name][0]
        real, loop = getattr(granting, method), asyncio.get_running_loop()

        def held_up(*arguments: Sequence[object]) -> object:
            loop.call_soon_threadsafe(self.begun.set)
            self.go_on.wait(30)
            return real(*arguments)

        setattr(granting, method, held_up)


async def asked(node: Node, name: str) -> asyncio.Task[Any]:
    """Send one request."""
    vf = str(node.vfs()[0])
    if name == "PreStartContainer":
        await node.kubelet.allocate(FAST, vf)
    request = getattr(node.kubelet.plugins[FAST].stub, name)
    return asyncio.ensure_future(request(REQUESTS[name][1](vf), timeout=30))


def begins_to_stop(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return what is set as soon as a server is told to stop."""
    begun, real = asyncio.Event(), module.PoolServer._stop

    async def stop(*arguments: Any) -> None:
        begun.set()
        await real(*arguments)

    monkeypatch.setattr(module.PoolServer, "_stop", stop)
    return begun


def stops(node: Node) -> None:
    node.running.cancel()


def loses_its_pool(node: Node) -> None:
    node.publish()


@pytest.mark.parametrize(
    ("name", "end"), [("Allocate", stops), *(("PreStartContainer", end) for end in (stops, loses_its_pool))]
)
async def test_what_was_asked_before_is_answered(
    node: Node, monkeypatch: pytest.MonkeyPatch, name: str, end: Callable[[Node], None]
) -> None:
    slow, stopping = Slow(node, name), begins_to_stop(monkeypatch)
    answer = await asked(node, name)
    await slow.begun.wait()
    end(node)
    await stopping.wait()
    slow.go_on.set()
    assert await answer is not None


async def test_a_function_whose_pool_ends_is_refused_and_not_broken_off(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent takes a pool away when it has found the functions free."""
    slow, stopping = Slow(node, "Allocate"), begins_to_stop(monkeypatch)
    answer = await asked(node, "Allocate")
    await slow.begun.wait()
    loses_its_pool(node)
    await stopping.wait()
    slow.go_on.set()
    with pytest.raises(grpc.aio.AioRpcError, match="is withdrawn: it is not on offer any more"):
        await answer


async def test_one_that_is_not_answered_is_broken_off_after_a_while(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DRAIN_DEADLINE", 0.05)
    monkeypatch.setattr(module, "STOP_DEADLINE", 0.05)
    slow = Slow(node, "Allocate")
    answer = await asked(node, "Allocate")
    await slow.begun.wait()
    stops(node)
    try:
        with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
            await answer
    finally:
        slow.go_on.set()
