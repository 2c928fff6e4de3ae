"""Ending at any moment stops every server: grpc waits for ever at the end of the process for one that was not."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import grpc
import pytest
from kubelet import FakeKubelet

from virtfn_deviceplugin import manager as manager_module
from virtfn_deviceplugin.kubelet import KubeletFolder
from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_deviceplugin.manager import ServerManager
from virtfn_deviceplugin.server import PoolServer
from virtfn_host.core.values.offered import DevicePool, PoolSet
from virtfn_host.linux import poolfile
from virtfn_host.linux.read.sysfs import Sysfs

FAST = DevicePool(resource_name="virtfn.dev/fast", devices=())
NOBODY_ASKS: Any = Mock()
"""Takes every call."""
TURNS = 40
"""Turns of the event loop after which the server is ended: from before it starts until it streams."""


class Counted:
    """A server that tells whether it was started and stopped."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.begun = self.stopped = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    async def start(self) -> None:
        self.begun = True
        await self._server.start()

    async def stop(self, grace: float | None) -> None:
        await self._server.stop(grace)
        self.stopped = True


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[Counted]:
    made: list[Counted] = []
    make = grpc.aio.server

    def server() -> Counted:
        made.append(Counted(make()))
        return made[-1]

    monkeypatch.setattr(grpc.aio, "server", server)
    return made


@pytest.mark.parametrize("again", [0, 1])
async def test_a_server_that_is_cancelled_at_any_moment_is_stopped(servers: list[Counted], again: int) -> None:
    """Also when it is cancelled once more while it stops. Every second one has begun to listen before."""
    with tempfile.TemporaryDirectory() as folder:
        kubelet = FakeKubelet(Path(folder))
        await kubelet.start()
        servers.clear()
        for turns in range(TURNS):
            serving = asyncio.create_task(PoolServer(FAST, KubeletFolder(Path(folder)), NOBODY_ASKS).serve())
            began = len(servers)
            while turns % 2 and not any(server.begun for server in servers[began:]):
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            for _ in range(1 + again):
                serving.cancel()
                await asyncio.sleep(0)
            await asyncio.gather(serving, return_exceptions=True)
        started = [server for server in servers if server.begun]
        assert len(started) >= TURNS / 2
        assert [server for server in started if not server.stopped] == []
        await kubelet.stop()


@pytest.mark.parametrize("turns", range(4))
async def test_one_that_is_cancelled_as_it_wakes_up_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, turns: int
) -> None:
    """The kubelet restarts and the plugin is told to end, both at once: one must not hide the other."""
    tried = asyncio.Event()

    folder = KubeletFolder(tmp_path)
    waiting = folder.another

    async def another(than: object) -> None:
        tried.set()
        await waiting(None)

    monkeypatch.setattr(folder, "another", another)
    serving = asyncio.create_task(PoolServer(FAST, folder, NOBODY_ASKS).serve())
    await tried.wait()
    await asyncio.sleep(0)
    (tmp_path / "kubelet.sock").touch()
    folder.look()
    for _ in range(turns):
        await asyncio.sleep(0)
    serving.cancel()
    done, _ = await asyncio.wait([serving], timeout=5)
    assert serving in done


async def test_a_plugin_that_is_told_to_end_while_it_stops_a_pool_ends_after_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(manager_module, "LOOK_EVERY", 0)
    stopping, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def serve(_: PoolServer) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopping.set()
            await may_end.wait()
            ended.set()

    monkeypatch.setattr(PoolServer, "serve", serve)
    pools, manager = tmp_path / "pools.json", plugin(tmp_path)
    poolfile.write(pools, PoolSet(boot_id="unknown", pools=(FAST,)))
    running = asyncio.create_task(manager.run())
    while not manager.servers:
        await asyncio.sleep(0)
    poolfile.write(pools, PoolSet(boot_id="unknown", pools=()))
    await stopping.wait()
    running.cancel()
    await asyncio.sleep(0)
    may_end.set()
    done, _ = await asyncio.wait([running], timeout=5)
    assert running in done
    assert ended.is_set(), "the pool was not stopped to its end"


async def test_a_socket_that_cannot_be_bound_is_said_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """As in a full file system, or one that was unmounted; here its path is too long, and the kubelet's is not."""
    with tempfile.TemporaryDirectory() as short:
        folder = Path(short) / ("x" * (85 - len(short)))
        folder.mkdir()
        kubelet = FakeKubelet(folder)
        await kubelet.start()
        server = PoolServer(FAST, KubeletFolder(folder), NOBODY_ASKS)
        serving = asyncio.create_task(server.serve())
        async with asyncio.timeout(30):
            while server.pacing.backoff.failures < 3:
                assert not serving.done()
                await asyncio.sleep(0.01)
        assert caplog.text.count(f"not registered with the kubelet: cannot listen on a socket in {folder}") == 1
        serving.cancel()
        await asyncio.wait([serving])
        await kubelet.stop()


async def test_a_server_that_ends_by_itself_ends_the_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is started anew, and everybody sees why; a resource that nobody serves would be missed by nobody."""

    async def serve(_: PoolServer) -> None:
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(PoolServer, "serve", serve)
    monkeypatch.setattr(manager_module, "LOOK_EVERY", 0)
    manager = plugin(tmp_path)
    poolfile.write(tmp_path / "pools.json", PoolSet(boot_id="unknown", pools=(FAST,)))
    with pytest.raises(ValueError, match="a mistake of ours"):
        async with asyncio.timeout(10):
            await manager.run()


def plugin(folder: Path) -> ServerManager:
    """One of a machine without anything."""
    ledger, sysfs = LedgerFile(folder / "ledger.json"), Sysfs(folder, folder, folder)
    return ServerManager(pool_file=folder / "pools.json", ledger=ledger, kubelet_dir=folder, sysfs=sysfs)
