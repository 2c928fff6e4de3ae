"""A kubelet as a device plugin sees it: real gRPC on real sockets, and a real kubelet's behaviour.

It connects back inside Register, asks for the options, calls ListAndWatch once and never again, and removes every
socket when it restarts. tests/cluster runs the plugin with a real kubelet.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import grpc

from virtfn_deviceplugin.v1beta1 import api_pb2 as wire
from virtfn_deviceplugin.v1beta1 import api_pb2_grpc as stubs

OPTIONS = (("grpc.default_authority", "localhost"), ("grpc.enable_http_proxy", 0))


ARRIVED = 0.1
"""Seconds for an answer that came before the stream's end to reach who asked: grpc.aio hands it over in a later turn of
the event loop, and a close before that would break off what was answered. In Go the answer is read all the same."""


class _Plugin:
    """One registration: the connection to the plugin, and the last list it sent."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.channel = grpc.aio.insecure_channel(f"unix://{socket}", options=OPTIONS)
        self.stub = stubs.DevicePluginStub(self.channel)
        self.health: dict[str, str] | None = None
        self.lists = 0
        self.task: asyncio.Task[None] | None = None


class FakeKubelet(stubs.RegistrationServicer):
    """Serves Register in `folder`; keeps the last registration of each resource."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugins: dict[str, _Plugin] = {}
        self.sockets: list[str] = []
        self.refuse = 0
        """Number of coming registrations that get an error."""
        self.deaf = 0
        """Number of coming registrations that are accepted but never followed by ListAndWatch."""
        self._changed = asyncio.Condition()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Remove every socket, then listen, as a starting kubelet does."""
        for socket in self.folder.glob("*.sock"):
            socket.unlink()
        self._server = grpc.aio.server()
        stubs.add_RegistrationServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"unix://{self.folder / 'kubelet.sock'}")
        await self._server.start()

    async def stop(self) -> None:
        """End like a process: every connection is closed."""
        for name in list(self.plugins):
            await self.cut(name)
        assert self._server is not None
        await self._server.stop(None)

    async def cut(self, resource: str) -> None:
        """Cut the connection to one plugin."""
        plugin = self.plugins.pop(resource)
        if plugin.task is not None:
            plugin.task.cancel()
            await asyncio.gather(plugin.task, return_exceptions=True)
        await plugin.channel.close(None)

    async def Register(  # noqa: N802
        self, request: wire.RegisterRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> wire.Empty:
        if self.refuse:
            self.refuse -= 1
            await context.abort(grpc.StatusCode.UNKNOWN, "refused by the test")
        plugin = _Plugin(self.folder / request.endpoint)
        await plugin.stub.GetDevicePluginOptions(wire.Empty(), timeout=10)
        self.sockets.append(request.endpoint)
        if self.deaf:
            self.deaf -= 1
            await plugin.channel.close(None)
            return wire.Empty()
        self.plugins[request.resource_name] = plugin
        plugin.task = asyncio.create_task(self._watch(plugin))
        return wire.Empty()

    async def _watch(self, plugin: _Plugin) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for answer in plugin.stub.ListAndWatch(wire.Empty()):
                plugin.health = {device.ID: device.health for device in answer.devices}
                plugin.lists += 1
                await self._tell()
        # The stream ended, with an error or without: all its devices are unhealthy at once, the kubelet closes the
        # connection, breaks off what it waits for, and does not ask again.
        plugin.health = dict.fromkeys(plugin.health or {}, "Gone")
        await plugin.channel.close(ARRIVED)
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def health(self, resource: str) -> dict[str, str]:
        """Return the health of each device id in the last list; empty if there is no such resource."""
        plugin = self.plugins.get(resource)
        return {} if plugin is None or plugin.health is None else plugin.health

    async def until(self, true: Callable[[], bool], seconds: float = 10) -> None:
        """Wait until a condition holds; it is checked after every message."""
        async with asyncio.timeout(seconds):
            while not true():
                async with self._changed:
                    try:
                        async with asyncio.timeout(0.05):
                            await self._changed.wait()
                    except TimeoutError:
                        continue

    async def options(self, resource: str) -> wire.DevicePluginOptions:
        """Return the options of a plugin: the calls that it wants."""
        answer: wire.DevicePluginOptions = await self.plugins[resource].stub.GetDevicePluginOptions(wire.Empty())
        return answer

    async def preferred(self, resource: str, available: list[str], must: list[str], size: int) -> list[str]:
        """Call GetPreferredAllocation for one container."""
        one = wire.ContainerPreferredAllocationRequest(
            available_deviceIDs=available, must_include_deviceIDs=must, allocation_size=size
        )
        request = wire.PreferredAllocationRequest(container_requests=[one])
        answer: wire.PreferredAllocationResponse = await self.plugins[resource].stub.GetPreferredAllocation(
            request, timeout=5
        )
        return list(answer.container_responses[0].deviceIDs)

    async def pre_start(self, resource: str, *ids: str) -> None:
        """Call PreStartContainer for a container that has these devices."""
        request = wire.PreStartContainerRequest(devices_ids=ids)
        await self.plugins[resource].stub.PreStartContainer(request, timeout=5)

    async def allocate(self, resource: str, *ids: str) -> wire.ContainerAllocateResponse:
        """Allocate devices for one container."""
        request = wire.AllocateRequest(container_requests=[wire.ContainerAllocateRequest(devices_ids=ids)])
        answer: wire.AllocateResponse = await self.plugins[resource].stub.Allocate(request, timeout=5)
        return answer.container_responses[0]
