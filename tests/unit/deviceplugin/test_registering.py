"""A registration is ended by its stream or by another kubelet, and by nothing else."""

import asyncio
import os
from pathlib import Path

import grpc
import pytest
from kubelet import FakeKubelet
from plugin_node import FAST, Node, plugin_node

from virtfn_deviceplugin import server as server_module
from virtfn_deviceplugin.v1beta1 import api_pb2 as wire
from virtfn_host.core.values.offered import Registrations
from virtfn_host.linux import poolfile
from virtfn_host.linux.clock import since_boot


class Slow(FakeKubelet):
    """Asks for the list long after it has answered Register."""

    async def _watch(self, plugin: object) -> None:
        await asyncio.sleep(1.5)
        await super()._watch(plugin)  # type: ignore[arg-type]


class ByName(FakeKubelet):
    """Knows its plugins by resource name: the late end of an old stream ends whatever is registered by then.

    As kubelets up to 1.36 do (kubernetes#121994).
    """

    late = 0.3
    ended_new = 0

    async def _watch(self, plugin: object) -> None:
        name = next(name for name, known in self.plugins.items() if known is plugin)
        await super()._watch(plugin)  # type: ignore[arg-type]
        await asyncio.sleep(self.late)
        now = self.plugins.pop(name, None)
        if now is not None:
            self.ended_new += now is not plugin
            await now.channel.close(None)


class Refusing(FakeKubelet):
    """Says no, and why."""

    async def Register(  # noqa: N802
        self, request: wire.RegisterRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> wire.Empty:
        await context.abort(grpc.StatusCode.UNKNOWN, "the ResourceName is invalid")
        raise AssertionError("abort raises")


async def steady(node: Node, seconds: float = 1.0) -> int:
    """Registrations after some time in which nothing happens."""
    await node.all_healthy()
    await asyncio.sleep(seconds)
    return len(node.kubelet.sockets)


async def test_a_kubelet_that_asks_for_the_list_late_gets_one_registration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server_module.STREAM_DEADLINE >= 60
    async with plugin_node(tmp_path, Slow) as node:
        node.publish(node.pool())
        assert await steady(node) == 1


async def test_the_wait_for_a_kubelet_that_never_asks_doubles(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "STREAM_DEADLINE", 0.05)
    node.kubelet.deaf = 3
    node.publish(node.pool())
    await node.all_healthy()
    assert "did not ask for the list of devices in 0 s" in node.manager.servers[FAST].standing.refusal
    assert len(node.kubelet.sockets) == 4


@pytest.mark.parametrize("touch", ["chmod", "a file beside it", "a plugin's socket beside it"])
async def test_what_is_done_to_the_folder_ends_no_registration(node: Node, touch: str) -> None:
    """A relabel of kubelet.sock changes its ctime, and it is the same kubelet's."""
    node.publish(node.pool())
    await node.all_healthy()
    match touch:
        case "chmod":
            (node.kubelet.folder / "kubelet.sock").chmod(0o700)
        case "a file beside it":
            (node.kubelet.folder / "kubelet_internal_checkpoint").write_text("{}")
        case _:
            os.mknod(node.kubelet.folder / "other.sock", 0o600 | 0o140000)
    assert await steady(node) == 1


async def test_another_kubelet_is_registered_with_though_the_old_one_holds_its_stream(node: Node) -> None:
    """One that hangs while it ends."""
    node.publish(node.pool())
    await node.all_healthy()
    second = FakeKubelet(node.kubelet.folder)
    (node.kubelet.folder / "kubelet.sock").unlink()
    await second.start()
    await second.until(lambda: list(second.health(FAST).values()) == ["Healthy"] * 3)
    await asyncio.sleep(0.5)
    assert len(second.sockets) == 1
    await second.stop()


async def test_a_kubelet_that_ends_new_registrations_late_is_outwaited(tmp_path: Path) -> None:
    async with plugin_node(tmp_path, ByName) as node:
        node.publish(node.pool())
        await node.all_healthy()
        await node.kubelet.plugins[FAST].channel.close(None)
        async with asyncio.timeout(20):
            before = -1
            while before != len(node.kubelet.sockets):
                before = len(node.kubelet.sockets)
                await asyncio.sleep(2.0)
                await node.all_healthy()
        assert isinstance(node.kubelet, ByName)
        assert before <= 6


async def test_a_refusal_is_told_by_the_health_text_until_it_is_over(tmp_path: Path) -> None:
    async with plugin_node(tmp_path, Refusing) as node:
        node.publish(node.pool())
        await node.kubelet.until(lambda: "the ResourceName is invalid" in node.manager.told)
        told = node.manager.told
        assert told.startswith(f"1 of 1 resources are not registered with the kubelet; {FAST} not registered for")
        assert node.manager.alive, "a restart would not mend it"


async def test_the_health_text_says_since_when_each_resource_is_registered(node: Node) -> None:
    node.publish(node.pool(), node.pool("virtfn.dev/slow", 1))
    await node.all_healthy()
    await node.all_healthy("virtfn.dev/slow")
    assert node.manager.told.startswith(f"ok; {FAST} registered for ")
    assert "; virtfn.dev/slow registered for " in node.manager.told
    node.pools.write_text("half a po")
    await node.kubelet.until(lambda: bool(node.manager.complaint))
    assert node.manager.told.startswith(f"{node.pools} cannot be read")
    assert "virtfn.dev/slow registered for " in node.manager.told


async def test_a_refusal_is_logged_once_and_not_at_every_attempt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with plugin_node(tmp_path, Refusing) as node:
        node.publish(node.pool())
        await node.kubelet.until(lambda: bool(node.manager.servers))
        server = node.manager.servers[FAST]
        await node.kubelet.until(lambda: server.pacing.backoff.failures > 3, 30)
        assert caplog.text.count("not registered with the kubelet: the ResourceName is invalid") == 1


def told(node: Node) -> Registrations:
    found = poolfile.read_registrations(node.ledger.with_name("registrations.json"))
    return found or Registrations(boot_id="none", registrations=())


async def test_the_agent_is_told_since_when_each_resource_is_registered_and_that_it_is_not(node: Node) -> None:
    node.publish(node.pool())
    await node.kubelet.until(lambda: [one.registered for one in told(node).registrations] == [True])
    (one,) = told(node).registrations
    assert (told(node).boot_id, one.resource_name, one.refusal) == (node.kernel.machine().sysfs.boot_id(), FAST, "")
    assert since_boot() - 20 < one.since <= since_boot()
    await node.kubelet.stop()
    await node.kubelet.until(lambda: [one.registered for one in told(node).registrations] == [False])
    await node.kubelet.until(lambda: "kubelet.sock" in told(node).registrations[0].refusal)
    await node.kubelet.start()
    await node.kubelet.until(lambda: [one.registered for one in told(node).registrations] == [True])
    node.publish()
    await node.kubelet.until(lambda: told(node).registrations == ())
    await node.end_plugin()
    assert not node.ledger.with_name("registrations.json").exists()


async def test_what_cannot_be_told_is_said_once_and_hinders_nothing(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    path = node.ledger.with_name("registrations.json")
    path.unlink(missing_ok=True)
    path.mkdir()
    node.publish(node.pool())
    await node.all_healthy()
    await node.kubelet.until(lambda: "registrations.json" in caplog.text)
    await asyncio.sleep(0.3)
    assert caplog.text.count("registrations.json cannot be written") == 1
    path.rmdir()
    await node.kubelet.until(lambda: [one.registered for one in told(node).registrations] == [True])
