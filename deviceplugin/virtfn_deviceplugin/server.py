"""One resource: a gRPC server on a socket of its own, registered with the kubelet, for as long as the pool lives.

The kubelet calls ListAndWatch once for a registration and never again, and older ones confuse two registrations of one
socket. So every registration has a fresh socket, and one whose stream ends, or does not come, is made anew.
"""

import asyncio
import contextlib
import logging
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc

from virtfn_deviceplugin.allocate import PERMISSIONS as NODE_PERMISSIONS
from virtfn_deviceplugin.allocate import AllocateRefusedError, Grant
from virtfn_deviceplugin.v1beta1 import api_pb2 as wire
from virtfn_deviceplugin.v1beta1 import api_pb2_grpc as stubs
from virtfn_host.backoff import Backoff, between
from virtfn_host.core.values.offered import DevicePool
from virtfn_host.linux.errors import HostError

log = logging.getLogger("virtfn.deviceplugin")

VERSION = "v1beta1"
REGISTER_DEADLINE = 15.0
"""Seconds: the kubelet dials back for up to 10 before it answers."""
STREAM_DEADLINE = 5.0
"""Seconds from a successful Register to ListAndWatch; the kubelet takes milliseconds, or never comes."""
SPACING = 0.1
"""Seconds between the end of one registration and the next; twice as many after each failure."""
LONGEST_BACKOFF = 10.0

_NO_FILE_NAME = re.compile(r"[^A-Za-z0-9_.-]")
"""Whatever a resource name is, its socket lies in the kubelet's folder and nowhere else."""


class _Registration(stubs.DevicePluginServicer):
    """What the kubelet sees on one socket."""

    def __init__(self, server: "PoolServer") -> None:
        self._server = server
        self.streaming = asyncio.Event()
        self.ended = asyncio.Event()

    async def GetDevicePluginOptions(self, request: object, context: object) -> wire.DevicePluginOptions:  # noqa: N802, ARG002
        return wire.DevicePluginOptions()

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
        try:
            asked = [list(container.devices_ids) for container in request.container_requests]
            grants = [await asyncio.to_thread(self._server.allocate, ids) for ids in asked]
        except (AllocateRefusedError, HostError) as error:
            log.warning("refused: %s", error)
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return wire.AllocateResponse(container_responses=[_container(grant) for grant in grants])


class PoolServer:
    """Serves one resource until it is stopped."""

    def __init__(self, pool: DevicePool, kubelet_dir: Path, allocate: Callable[[DevicePool, list[str]], Grant]) -> None:
        self._pool = pool
        self._folder = kubelet_dir
        self._allocate = allocate
        self._changed = asyncio.Condition()
        self._again = asyncio.Event()

    @property
    def pool(self) -> DevicePool:
        """What is offered now."""
        return self._pool

    async def offer(self, pool: DevicePool) -> None:
        """Offer another list; the kubelet hears of it at once."""
        async with self._changed:
            self._pool = pool
            self._changed.notify_all()

    async def pools(self) -> AsyncIterator[DevicePool]:
        """The list now, and every later one."""
        sent = self._pool
        yield sent
        while True:
            async with self._changed:
                while self._pool == sent:
                    await self._changed.wait()
                sent = self._pool
            yield sent

    def allocate(self, ids: list[str]) -> Grant:
        """Answer one container."""
        return self._allocate(self._pool, ids)

    def register_again(self) -> None:
        """The kubelet has restarted: what it knew of us is gone."""
        self._again.set()

    async def serve(self) -> None:
        """Register and serve, again and again, until cancelled."""
        backoff = Backoff(first=SPACING, limit=LONGEST_BACKOFF)
        while True:
            self._again.clear()
            try:
                await self._serve_once()
                backoff.succeeded()
                pause = between(SPACING / 2, SPACING)
            except (grpc.aio.AioRpcError, TimeoutError, OSError) as error:
                pause = backoff.failed()
                text = error.details() if isinstance(error, grpc.aio.AioRpcError) else error
                log.warning("%s: not registered: %s", self._pool.resource_name, text or "the kubelet did not answer")
            # Not a rhythm: a kubelet that restarts sets _again, and this only spaces attempts at one that refuses.
            # Never wait_for: on Python 3.11 it loses a cancellation that comes as what it waits for does.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._again.wait()

    async def _serve_once(self) -> None:
        """One registration, from its socket to the end of its stream."""
        name = _NO_FILE_NAME.sub("_", self._pool.resource_name)[:40]
        socket = self._folder / f"virtfn-{name}-{uuid.uuid4().hex[:8]}.sock"
        registration = _Registration(self)
        server = grpc.aio.server()
        stubs.add_DevicePluginServicer_to_server(registration, server)
        try:
            server.add_insecure_port(f"unix://{socket}")
        except RuntimeError as error:  # all that grpc says of a socket that cannot be bound
            raise OSError(str(error)) from error
        try:
            await to_its_end(server.start())
            await self._register(socket.name)
            async with asyncio.timeout(STREAM_DEADLINE):
                await registration.streaming.wait()
            log.info("%s: registered, %d devices", self._pool.resource_name, len(self._pool.devices))
            await _first_of(registration.ended.wait(), self._again.wait())
            log.info("%s: the kubelet is gone or was restarted; registering again", self._pool.resource_name)
        finally:
            try:
                socket.unlink(missing_ok=True)
            finally:
                await to_its_end(server.stop(None))

    async def _register(self, endpoint: str) -> None:
        # Its own authority: grpc sends the socket's path, which Go's server refuses.
        options = (("grpc.default_authority", "localhost"), ("grpc.enable_http_proxy", 0))
        async with grpc.aio.insecure_channel(f"unix://{self._folder / 'kubelet.sock'}", options=options) as channel:
            request = wire.RegisterRequest(version=VERSION, endpoint=endpoint, resource_name=self._pool.resource_name)
            await stubs.RegistrationStub(channel).Register(request, timeout=REGISTER_DEADLINE)


async def to_its_end(doing: Awaitable[object]) -> None:
    """Not cut short by being cancelled, however often: the end of a process waits for ever for a grpc server that never
    stopped, and one that was cancelled while it started cannot be stopped (grpcio 1.85).
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
                # Unknown NUMA nodes are left out: a made-up node would mislead the topology manager.
                topology=None
                if device.numa_node is None
                else wire.TopologyInfo(nodes=[wire.NUMANode(ID=device.numa_node)]),
            )
            for device in pool.devices
        ]
    )


def _container(grant: Grant) -> wire.ContainerAllocateResponse:
    return wire.ContainerAllocateResponse(
        envs=grant.environment,
        devices=[
            wire.DeviceSpec(host_path=n.host_path, container_path=n.container_path, permissions=NODE_PERMISSIONS)
            for n in grant.nodes
        ],
    )
