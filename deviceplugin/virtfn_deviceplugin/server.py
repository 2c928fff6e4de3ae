"""Serves one resource: a gRPC server on its own socket, registered with the kubelet as long as the pool is offered.

One task owns the registration. Its rules are in `registration.py`.
"""

import asyncio
import contextlib
import logging
import re
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

import grpc

from virtfn_deviceplugin.dialling import connected, register
from virtfn_deviceplugin.grant.granted import PERMISSIONS as NODE_PERMISSIONS
from virtfn_deviceplugin.grant.granted import AllocateRefusedError, Granted
from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_deviceplugin.kubelet import KubeletFolder, KubeletSocket, NoKubeletError
from virtfn_deviceplugin.preferred import NoChoiceError, preferred_ids
from virtfn_deviceplugin.registration import TELL_AGAIN, Pacing, Standing
from virtfn_deviceplugin.v1beta1 import api_pb2 as wire
from virtfn_deviceplugin.v1beta1 import api_pb2_grpc as stubs
from virtfn_host.core.values.choice import Topology
from virtfn_host.core.values.offered import DevicePool, Registration
from virtfn_host.linux.clock import since_boot
from virtfn_host.linux.errors import HostError

log = logging.getLogger("virtfn.deviceplugin")

STREAM_DEADLINE = 60.0
"""Seconds from a successful Register to ListAndWatch. Usually it takes milliseconds; a kubelet under load takes many
seconds (kubernetes#102829). The deadline doubles after each time that ListAndWatch did not come."""
LONGEST_STREAM_DEADLINE = 480.0
"""The limit of that doubling, in seconds."""
DRAIN_DEADLINE = 5.0
"""Seconds that a server that stops waits for the requests it is answering: a pod whose request is broken off is refused
by the kubelet for good."""
STOP_DEADLINE = 2.0
"""Seconds after that for the last answers to be sent and the stream to end."""

ANSWERS = ("granted", "refused", "failed", "notStarted")

_OPTIONS = wire.DevicePluginOptions(pre_start_required=True, get_preferred_allocation_available=True)
"""The kubelet shall call PreStartContainer before each start of a container (`grant/prestart.py`), and
GetPreferredAllocation where it has a choice of devices (`preferred.py`)."""

_NO_FILE_NAME = re.compile(r"[^A-Za-z0-9_.-]")
"""Characters of a resource name that are replaced in the socket's name, so that it stays in the kubelet's folder."""


class Granting(Protocol):
    """Answers the kubelet's requests for containers, in threads. Methods raise AllocateRefusedError or HostError."""

    def allocate(self, offer: PoolOffer, containers: Sequence[Sequence[str]]) -> Sequence[Granted]:
        """Give the containers of one request all that they ask for, or raise and leave nothing behind."""

    def expect_still_granted(self, resource_name: str, ids: Sequence[str]) -> None:
        """Refuse the start of a container that was given these functions of a resource, if its device nodes no longer
        lead to them or another pod has them."""

    def offered(self, pool: DevicePool) -> None:
        """Hear that these functions are on offer now: files about functions that left are removed. Raises nothing."""

    def withdrawn(self, resource_name: str) -> None:
        """Hear that the resource is not served any more. Raises nothing."""


class _Registration(stubs.DevicePluginServicer):
    """The kubelet's view of one socket."""

    def __init__(self, server: "PoolServer") -> None:
        self._server = server
        self.streaming = asyncio.Event()
        self.ended = asyncio.Event()
        self.closing = False
        self.quiet = asyncio.Event()
        """Whether every request has been answered."""
        self.quiet.set()
        self._open = 0

    def _asked(self, context: "grpc.aio.ServicerContext[object, object]") -> None:
        """Count a request until grpc has sent its answer: the end of its handler is a moment before that."""
        self._open += 1
        self.quiet.clear()
        context.add_done_callback(cast(Any, lambda _: self._answered()))  # its type is no protocol in grpc-stubs

    def _answered(self) -> None:
        self._open -= 1
        if not self._open:
            self.quiet.set()

    async def GetDevicePluginOptions(self, request: object, context: object) -> wire.DevicePluginOptions:  # noqa: N802, ARG002
        return _OPTIONS

    async def ListAndWatch(self, request: object, context: object) -> AsyncIterator[wire.ListAndWatchResponse]:  # noqa: N802, ARG002
        self.streaming.set()
        try:
            async for pool in self._server.pools(lambda: self.closing):
                yield _devices(pool)
        finally:
            self.ended.set()

    async def GetPreferredAllocation(  # noqa: N802
        self, request: wire.PreferredAllocationRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> wire.PreferredAllocationResponse:
        self._asked(context)
        try:
            chosen = await asyncio.to_thread(self._chosen, request)
        except NoChoiceError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{self._server.pool.resource_name}: {error}")
        return wire.PreferredAllocationResponse(container_responses=chosen)

    def _chosen(self, request: wire.PreferredAllocationRequest) -> list[wire.ContainerPreferredAllocationResponse]:
        offer = self._server.offered
        return [
            wire.ContainerPreferredAllocationResponse(
                deviceIDs=preferred_ids(offer, one.available_deviceIDs, one.must_include_deviceIDs, one.allocation_size)
            )
            for one in request.container_requests
        ]

    async def Allocate(  # noqa: N802
        self, request: wire.AllocateRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> wire.AllocateResponse:
        self._asked(context)
        asked = [list(container.devices_ids) for container in request.container_requests]
        try:
            answers = await asyncio.to_thread(self._server.allocate, asked)
        except (AllocateRefusedError, HostError) as error:
            self._server.answers["refused" if isinstance(error, AllocateRefusedError) else "failed"] += 1
            log.warning("refused: %s", error)
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        self._server.answers["granted"] += 1
        return wire.AllocateResponse(container_responses=[_container(answer) for answer in answers])

    async def PreStartContainer(  # noqa: N802
        self, request: wire.PreStartContainerRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> wire.PreStartContainerResponse:
        self._asked(context)
        try:
            await asyncio.to_thread(self._server.expect_still_granted, list(request.devices_ids))
        except (AllocateRefusedError, HostError) as error:
            self._server.answers["notStarted"] += 1
            log.warning("a container may not start: %s", error)
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return wire.PreStartContainerResponse()


class PoolServer:
    """Serves one resource until it is stopped."""

    def __init__(self, pool: DevicePool, folder: KubeletFolder, granting: Granting) -> None:
        self._offer = PoolOffer.of(pool)
        self._folder = folder
        self._granting = granting
        self._changed = asyncio.Condition()
        self.pacing = Pacing()
        self._deaf = 0
        """Number of registrations in a row without ListAndWatch."""
        self._told: tuple[str, float] = ("", 0.0)
        self.standing = Standing(resource_name=pool.resource_name, waiting_since=since_boot())
        """How the resource stands with the kubelet."""
        self.answers: Counter[str] = Counter(dict.fromkeys(ANSWERS, 0))
        """How the kubelet's requests for containers were answered, for the metrics."""

    @property
    def offered(self) -> PoolOffer:
        """The pool that is offered now, and its devices by id."""
        return self._offer

    @property
    def pool(self) -> DevicePool:
        """The pool that is offered now."""
        return self._offer.pool

    @property
    def registrations(self) -> int:
        """How often the kubelet has asked for the list of devices."""
        return self.standing.registrations

    @property
    def outline(self) -> Registration:
        """The same for the agent, with the number of functions that the kubelet is told to be healthy."""
        return replace(self.standing.outline, healthy=sum(device.healthy for device in self.pool.devices))

    async def offer(self, pool: DevicePool) -> None:
        """Offer another list and send it to the kubelet at once."""
        async with self._changed:
            self._offer = PoolOffer.of(pool)
            self._changed.notify_all()
        await asyncio.to_thread(self._granting.offered, pool)

    async def pools(self, closing: Callable[[], bool]) -> AsyncIterator[DevicePool]:
        """Yield the list now, and every later one until it is closed."""
        sent = self.pool
        yield sent
        while True:
            async with self._changed:
                while self.pool == sent and not closing():
                    await self._changed.wait()
                sent = self.pool
            if closing():
                return
            yield sent

    def allocate(self, containers: Sequence[Sequence[str]]) -> Sequence[Granted]:
        """Answer the containers of one request."""
        return self._granting.allocate(self._offer, containers)

    def expect_still_granted(self, ids: Sequence[str]) -> None:
        """See `Granting`."""
        self._granting.expect_still_granted(self.pool.resource_name, ids)

    async def serve(self) -> None:
        """Register and serve again and again, until cancelled."""
        try:
            await asyncio.to_thread(self._granting.offered, self.pool)
            await self._serve()
        finally:
            await to_its_end(asyncio.to_thread(self._granting.withdrawn, self.pool.resource_name))

    async def _serve(self) -> None:
        while True:
            kubelet, lasted = self._folder.look(), 0.0
            try:
                async with connected(self._folder) as (channel, kubelet):
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
            log.warning("%s: not registered with the kubelet: %s", self.pool.resource_name, self.standing.refusal)

    async def _serve_once(self, channel: grpc.aio.Channel, kubelet: KubeletSocket) -> float:
        """Make one registration and serve until its stream or its kubelet ends; return the seconds that it lasted."""
        name = _NO_FILE_NAME.sub("_", self.pool.resource_name)[:40]
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
            await register(channel, self.pool.resource_name, socket.name, _OPTIONS)
            await channel.close(None)  # by now the kubelet has its own connection to this server
            return await self._streamed(registration, kubelet)
        finally:
            try:
                socket.unlink(missing_ok=True)
            finally:
                await to_its_end(self._stop(server, registration))

    async def _stop(self, server: grpc.aio.Server, registration: _Registration) -> None:
        """Stop a server once it has answered what it was asked. The stream ends last: the kubelet closes its connection
        then, and breaks off what it waits for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_DEADLINE):
                await registration.quiet.wait()
        async with self._changed:
            registration.closing = True
            self._changed.notify_all()
        await server.stop(STOP_DEADLINE)

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
        name, began = self.pool.resource_name, time.monotonic()
        self.standing = self.standing.registered(since_boot())
        log.info("%s: registered, %d devices", name, len(self.pool.devices))
        await _first_of(registration.ended.wait(), self._folder.another(kubelet))
        lasted = time.monotonic() - began
        self.standing = self.standing.ended(since_boot())
        cause = "its stream ended" if registration.ended.is_set() else "the kubelet restarted"
        log.info("%s: not registered any more after %.0f s: %s; registering again", name, lasted, cause)
        return lasted


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
                if device.numa_node is None or pool.choice.topology is Topology.NONE
                else wire.TopologyInfo(nodes=[wire.NUMANode(ID=device.numa_node)]),
            )
            for device in pool.devices
        ]
    )


def _container(granted: Granted) -> wire.ContainerAllocateResponse:
    return wire.ContainerAllocateResponse(
        envs=granted.environment,
        devices=[
            wire.DeviceSpec(host_path=n.host_path, container_path=n.container_path, permissions=NODE_PERMISSIONS)
            for n in granted.nodes
        ],
        annotations=granted.annotations,
        cdi_devices=[wire.CDIDevice(name=name) for name in granted.cdi_names],
    )
