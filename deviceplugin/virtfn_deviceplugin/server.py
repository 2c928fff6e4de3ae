"""Serves one resource: a gRPC server on its own socket, registered with the kubelet as long as the pool is offered.

One task owns the registration. Its rules are in `registration.py`.
"""

import asyncio
import contextlib
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import grpc

from virtfn_deviceplugin.allocate import PERMISSIONS as NODE_PERMISSIONS
from virtfn_deviceplugin.allocate import AllocateRefusedError, ContainerAnswer
from virtfn_deviceplugin.kubelet import KubeletFolder, KubeletSocket, NoKubeletError
from virtfn_deviceplugin.registration import TELL_AGAIN, Pacing, Standing
from virtfn_deviceplugin.v1beta1 import api_pb2 as wire
from virtfn_deviceplugin.v1beta1 import api_pb2_grpc as stubs
from virtfn_host.core.values.offered import DevicePool
from virtfn_host.linux.clock import since_boot
from virtfn_host.linux.errors import HostError

log = logging.getLogger("virtfn.deviceplugin")

VERSION = "v1beta1"
CONNECT_DEADLINE = 10.0
"""Seconds to connect to the kubelet's socket; a stopped kubelet may never accept the connection."""
REGISTER_DEADLINE = 60.0
"""Seconds for the answer to Register: the kubelet first dials back for up to 10 s, and may be under load."""
STREAM_DEADLINE = 60.0
"""Seconds from a successful Register to ListAndWatch. Usually it takes milliseconds; a kubelet under load takes many
seconds (kubernetes#102829). The deadline doubles after each time that ListAndWatch did not come."""
LONGEST_STREAM_DEADLINE = 480.0
"""The limit of that doubling, in seconds."""

_OPTIONS = wire.DevicePluginOptions(pre_start_required=True)
"""The kubelet shall call PreStartContainer before each start of a container (`prestart.py`)."""

_NO_FILE_NAME = re.compile(r"[^A-Za-z0-9_.-]")
"""Characters of a resource name that are replaced in the socket's name, so that it stays in the kubelet's folder."""


class Granting(Protocol):
    """Answers the kubelet's requests for containers, in threads. Methods raise AllocateRefusedError or HostError."""

    def allocate(self, pool: DevicePool, containers: Sequence[Sequence[str]]) -> Sequence[ContainerAnswer]:
        """Give the containers of one request all that they ask for, or raise and leave nothing behind."""

    def expect_still_granted(self, ids: Sequence[str]) -> None:
        """Refuse the start of a container whose device nodes no longer lead to its own functions."""


class _Registration(stubs.DevicePluginServicer):
    """The kubelet's view of one socket."""

    def __init__(self, server: "PoolServer") -> None:
        self._server = server
        self.streaming = asyncio.Event()
        self.ended = asyncio.Event()

    async def GetDevicePluginOptions(self, request: object, context: object) -> wire.DevicePluginOptions:  # noqa: N802, ARG002
        return _OPTIONS

    async def ListAndWatch(self, request: object, context: object) -> AsyncIterator[wire.ListAndWatchResponse]:  # noqa: N802, ARG002
        self.streaming.set()
        try:
            async for pool in self._server.pools():
                yield _devices(pool)
        finally:
            self.ended.set()

    async def Allocate(  # noqa: N802
        self, request: wire.AllocateRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> wire.AllocateResponse:
        asked = [list(container.devices_ids) for container in request.container_requests]
        try:
            answers = await asyncio.to_thread(self._server.allocate, asked)
        except (AllocateRefusedError, HostError) as error:
            log.warning("refused: %s", error)
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return wire.AllocateResponse(container_responses=[_container(answer) for answer in answers])

    async def PreStartContainer(  # noqa: N802
        self, request: wire.PreStartContainerRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> wire.PreStartContainerResponse:
        try:
            await asyncio.to_thread(self._server.expect_still_granted, list(request.devices_ids))
        except (AllocateRefusedError, HostError) as error:
            log.warning("a container may not start: %s", error)
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return wire.PreStartContainerResponse()


class PoolServer:
    """Serves one resource until it is stopped."""

    def __init__(self, pool: DevicePool, folder: KubeletFolder, granting: Granting) -> None:
        self._pool = pool
        self._folder = folder
        self._granting = granting
        self._changed = asyncio.Condition()
        self.pacing = Pacing()
        self._deaf = 0
        """Number of registrations in a row without ListAndWatch."""
        self._told: tuple[str, float] = ("", 0.0)
        self.standing = Standing(resource_name=pool.resource_name, waiting_since=since_boot())
        """How the resource stands with the kubelet."""

    @property
    def pool(self) -> DevicePool:
        """The pool that is offered now."""
        return self._pool

    @property
    def registrations(self) -> int:
        """How often the kubelet has asked for the list of devices."""
        return self.standing.registrations

    async def offer(self, pool: DevicePool) -> None:
        """Offer another list and send it to the kubelet at once."""
        async with self._changed:
            self._pool = pool
            self._changed.notify_all()

    async def pools(self) -> AsyncIterator[DevicePool]:
        """Yield the list now, and every later one."""
        sent = self._pool
        yield sent
        while True:
            async with self._changed:
                while self._pool == sent:
                    await self._changed.wait()
                sent = self._pool
            yield sent

    def allocate(self, containers: Sequence[Sequence[str]]) -> Sequence[ContainerAnswer]:
        """Answer the containers of one request."""
        return self._granting.allocate(self._pool, containers)

    def expect_still_granted(self, ids: Sequence[str]) -> None:
        """See `Granting`."""
        self._granting.expect_still_granted(ids)

    async def serve(self) -> None:
        """Register and serve again and again, until cancelled."""
        while True:
            kubelet, lasted = self._folder.look(), 0.0
            try:
                async with _connected(self._folder) as (channel, kubelet):
                    lasted = await self._serve_once(channel, kubelet)
            except (grpc.aio.AioRpcError, TimeoutError, OSError) as error:
                self._refused(error)
            # Not wait_for: on Python 3.11 it loses a cancellation that comes when its awaitable ends.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.pacing.pause(kubelet=kubelet, lasted=lasted)):
                    await self._folder.another(kubelet)

    def _refused(self, error: Exception) -> None:
        """Note a refusal; log it if it is a new one, otherwise once a minute."""
        text = (error.details() if isinstance(error, grpc.aio.AioRpcError) else str(error)) or "it did not answer"
        self.standing = self.standing.refused(since_boot(), text)
        said, at = self._told
        if said != self.standing.refusal or time.monotonic() - at >= TELL_AGAIN:
            self._told = (self.standing.refusal, time.monotonic())
            log.warning("%s: not registered with the kubelet: %s", self._pool.resource_name, self.standing.refusal)

    async def _serve_once(self, channel: grpc.aio.Channel, kubelet: KubeletSocket) -> float:
        """Make one registration and serve until its stream or its kubelet ends; return the seconds that it lasted."""
        name = _NO_FILE_NAME.sub("_", self._pool.resource_name)[:40]
        socket = self._folder.path / f"virtfn-{name}-{uuid.uuid4().hex[:8]}.sock"
        registration = _Registration(self)
        server = grpc.aio.server()
        stubs.add_DevicePluginServicer_to_server(registration, server)
        try:
            server.add_insecure_port(f"unix://{socket}")
        except RuntimeError as error:  # grpc's only sign that the socket cannot be bound
            raise OSError(f"cannot listen on a socket in {self._folder.path}") from error
        try:
            await to_its_end(server.start())
            await _register(channel, self._pool.resource_name, socket.name)
            await channel.close(None)  # by now the kubelet has its own connection to this server
            return await self._streamed(registration, kubelet)
        finally:
            try:
                socket.unlink(missing_ok=True)
            finally:
                await to_its_end(server.stop(None))

    async def _streamed(self, registration: _Registration, kubelet: KubeletSocket) -> float:
        """Wait, after Register, until the kubelet no longer has the list; return the seconds for which it had it."""
        deadline = min(STREAM_DEADLINE * 2**self._deaf, LONGEST_STREAM_DEADLINE)
        try:
            async with asyncio.timeout(deadline):
                await _first_of(registration.streaming.wait(), self._folder.another(kubelet))
        except TimeoutError as error:
            self._deaf += 1
            text = f"it accepted the registration and did not ask for the list of devices in {deadline:.0f} s"
            raise TimeoutError(text) from error
        self._deaf = 0
        if not registration.streaming.is_set():
            raise NoKubeletError("the kubelet restarted before it asked for the list of devices")
        name, began = self._pool.resource_name, time.monotonic()
        self.standing = self.standing.registered(since_boot())
        log.info("%s: registered, %d devices", name, len(self._pool.devices))
        await _first_of(registration.ended.wait(), self._folder.another(kubelet))
        lasted = time.monotonic() - began
        self.standing = self.standing.ended(since_boot())
        cause = "its stream ended" if registration.ended.is_set() else "the kubelet restarted"
        log.info("%s: not registered any more after %.0f s: %s; registering again", name, lasted, cause)
        return lasted


@asynccontextmanager
async def _connected(folder: KubeletFolder) -> AsyncIterator[tuple[grpc.aio.Channel, KubeletSocket]]:
    """Connect to the kubelet. Two looks at the socket, before and after, show which kubelet that is.

    Raises:
        NoKubeletError: no kubelet listens, or the socket was replaced meanwhile.
    """
    kubelet = folder.look()
    if kubelet is None:
        folder.silent()
        raise NoKubeletError(f"there is no {folder.path / 'kubelet.sock'}: no kubelet runs, or it uses another folder")
    # The authority: by default grpc sends the socket's path, which Go's server refuses. The local pool: otherwise the
    # channels of all resources share their waiting times.
    options = (
        ("grpc.default_authority", "localhost"),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
    )
    async with grpc.aio.insecure_channel(f"unix://{folder.path / 'kubelet.sock'}", options=options) as channel:
        async with asyncio.timeout(CONNECT_DEADLINE):
            ready = await _is_ready(channel)
        if not ready:
            folder.silent()
            raise NoKubeletError(f"no process listens on {folder.path / 'kubelet.sock'}: the kubelet does not run")
        if folder.look() != kubelet:
            raise NoKubeletError("the kubelet restarted at this moment")
        folder.answered()
        yield channel, kubelet


async def _is_ready(channel: grpc.aio.Channel) -> bool:
    """Connect; return False as soon as that is refused. grpc itself would go on trying."""
    state = channel.get_state(try_to_connect=True)
    while state not in (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE):
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)
    return state is grpc.ChannelConnectivity.READY


async def _register(channel: grpc.aio.Channel, resource_name: str, endpoint: str) -> None:
    request = wire.RegisterRequest(version=VERSION, endpoint=endpoint, resource_name=resource_name, options=_OPTIONS)
    await stubs.RegistrationStub(channel).Register(request, timeout=REGISTER_DEADLINE)


async def to_its_end(doing: Awaitable[object]) -> None:
    """Wait for the end of this, even if this task is cancelled meanwhile. A process cannot end before its grpc servers
    have stopped, and a server whose start was cancelled cannot be stopped (grpcio 1.85).
    """
    task = asyncio.ensure_future(doing)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    await task


async def _first_of(*waits: Awaitable[object]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _devices(pool: DevicePool) -> wire.ListAndWatchResponse:
    return wire.ListAndWatchResponse(
        devices=[
            wire.Device(
                ID=str(device.address),
                health="Healthy" if device.healthy else "Unhealthy",
                # An unknown NUMA node is left out: an invented one would mislead the topology manager.
                topology=None
                if device.numa_node is None
                else wire.TopologyInfo(nodes=[wire.NUMANode(ID=device.numa_node)]),
            )
            for device in pool.devices
        ]
    )


def _container(answer: ContainerAnswer) -> wire.ContainerAllocateResponse:
    return wire.ContainerAllocateResponse(
        envs=answer.environment,
        devices=[
            wire.DeviceSpec(host_path=n.host_path, container_path=n.container_path, permissions=NODE_PERMISSIONS)
            for n in answer.nodes
        ],
    )
