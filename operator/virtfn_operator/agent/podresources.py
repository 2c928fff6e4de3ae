"""The kubelet's podresources socket: which pod has which device, and which devices new pods may get. Only user of grpc.

Each call opens its own channel, because gRPC would wait up to two minutes before it tries a restarted kubelet again.
Do not poll tightly: the kubelet allows a burst of 10, and List makes it rebuild its state.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc

from virtfn_host.core.values.holders import Pod
from virtfn_operator.agent.not_offered import KubeletOffer
from virtfn_operator.agent.podresources_v1 import podresources_pb2 as wire
from virtfn_operator.agent.podresources_v1 import podresources_pb2_grpc as stubs
from virtfn_operator.agent.ports import KubeletUnreachableError

TIMEOUT = 5.0
SETTLE = 30.0
"""Seconds after its start during which the kubelet may not know all its pods."""

_OPTIONS = (
    ("grpc.default_authority", "localhost"),  # without it the socket's path is sent, and Go's server refuses it
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),  # what the kubelet's own client allows
    ("grpc.enable_http_proxy", 0),
)


class PodResources:
    """The kubelet of this node."""

    def __init__(
        self,
        socket: Path,
        *,
        settle: float = SETTLE,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._socket = socket
        self._settle = settle
        self._now = now
        self._monotonic = monotonic
        self._kubelet: tuple[int, int] | None = None
        self._started = 0.0

    async def allocated(self) -> Mapping[str, tuple[Pod, ...]]:
        """Return the pods of each device id, terminating pods included.

        Raises:
            KubeletUnreachableError: no answer, or the kubelet has just started.
        """
        self._check_settled()
        answer = await self._call(lambda stub: stub.List(wire.ListPodResourcesRequest(), timeout=TIMEOUT))
        found: dict[str, set[Pod]] = {}
        for pod in answer.pod_resources:
            for container in pod.containers:
                for device in container.devices:
                    for identifier in device.device_ids:
                        found.setdefault(identifier, set()).add(Pod(namespace=pod.namespace, name=pod.name))
        return {identifier: tuple(sorted(pods)) for identifier, pods in found.items()}

    async def allocatable(self) -> frozenset[str]:
        """Return the ids of healthy registered devices, allocated or not.

        Raises:
            KubeletUnreachableError: no answer.
        """
        return frozenset[str]().union(*(await self.offered()).devices.values())

    async def offered(self) -> KubeletOffer:
        """Return the same by resource name; also of a kubelet that has just started.

        Raises:
            KubeletUnreachableError: no answer.
        """
        request = wire.AllocatableResourcesRequest()
        kubelet = self._identity()
        answer = await self._call(lambda stub: stub.GetAllocatableResources(request, timeout=TIMEOUT))
        found: dict[str, set[str]] = {}
        for device in answer.devices:  # the kubelet lists each device alone, once for each of its NUMA nodes
            found.setdefault(device.resource_name, set()).update(device.device_ids)
        return KubeletOffer(devices={name: frozenset(ids) for name, ids in found.items()}, kubelet=kubelet)

    async def _call(self, call: Callable[[Any], Any]) -> Any:
        async with grpc.aio.insecure_channel(f"unix://{self._socket}", options=_OPTIONS) as channel:
            try:
                return await call(stubs.PodResourcesListerStub(channel))
            except grpc.aio.AioRpcError as error:
                raise KubeletUnreachableError(f"{self._socket}: {error.code().name}: {error.details()}") from error

    def _check_settled(self) -> None:
        """Raise unless the kubelet has run for `SETTLE` seconds; its socket is as old as its process.

        The wall clock is read once, for a kubelet that ran before us. After that the monotonic clock counts, because
        the wall clock may be set. A socket with a time in the future counts as new.
        """
        kubelet = self._identity()
        if kubelet != self._kubelet:
            age = max(0.0, self._now() - kubelet[1] / 1e9) if self._kubelet is None else 0.0
            self._kubelet, self._started = kubelet, self._monotonic() - age
        if self._monotonic() - self._started < self._settle:
            text = f"the kubelet started less than {self._settle:.0f} s ago and may not know all its pods yet"
            raise KubeletUnreachableError(text)

    def _identity(self) -> tuple[int, int]:
        """Return what only the socket of this process of the kubelet has: its inode, and when it was made."""
        try:
            found = self._socket.stat()
        except OSError as error:
            raise KubeletUnreachableError(f"{self._socket}: {error.strerror}") from error
        return found.st_ino, found.st_mtime_ns
