"""podresources over a real socket: who has what, what is offered, and when the kubelet is not to be believed."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from virtfn_host.core.values.holders import Pod
from virtfn_operator.agent import podresources
from virtfn_operator.agent.podresources_v1 import podresources_pb2 as wire
from virtfn_operator.agent.podresources_v1 import podresources_pb2_grpc as stubs
from virtfn_operator.agent.ports import KubeletUnreachableError

A, B = Pod(namespace="default", name="a"), Pod(namespace="default", name="b")


def device(*identifiers: str) -> Any:
    return wire.ContainerDevices(resource_name="virtfn.dev/fast", device_ids=list(identifiers))


class KubeletStub:
    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        containers = [
            wire.ContainerResources(name="c", devices=[device("0000:01:10.0"), device("0000:01:10.0", "0000:01:10.1")])
        ]
        pods = [wire.PodResources(name=name, namespace="default", containers=containers) for name in ("b", "a")]
        return wire.ListPodResourcesResponse(pod_resources=pods)

    async def GetAllocatableResources(self, request: Any, context: Any) -> Any:  # noqa: N802
        two = wire.ContainerDevices(resource_name="vendor.example/other", device_ids=["0000:02:10.0"])
        # A device with two NUMA nodes is listed twice.
        return wire.AllocatableResourcesResponse(devices=[device("0000:01:10.0"), device("0000:01:10.2"), two, two])


@pytest.fixture
async def socket(tmp_path: Path) -> AsyncIterator[Path]:
    path = tmp_path / "kubelet.sock"
    server = grpc.aio.server()
    stubs.add_PodResourcesListerServicer_to_server(KubeletStub(), server)
    server.add_insecure_port(f"unix://{path}")
    await server.start()
    try:
        yield path
    finally:
        await server.stop(None)


async def test_devices_and_their_pods(socket: Path) -> None:
    kubelet = podresources.PodResources(socket, settle=0)
    assert await kubelet.allocated() == {
        "0000:01:10.0": (A, B),
        "0000:01:10.1": (A, B),
    }
    assert await kubelet.allocatable() == {"0000:01:10.0", "0000:01:10.2", "0000:02:10.0"}


async def test_what_is_offered_by_resource_name_and_by_which_kubelet(socket: Path) -> None:
    """Also by a kubelet that has just started: its pods may be missing, its devices are those that it has."""
    kubelet = podresources.PodResources(socket)
    offer = await kubelet.offered()
    assert offer.devices == {
        "virtfn.dev/fast": frozenset({"0000:01:10.0", "0000:01:10.2"}),
        "vendor.example/other": frozenset({"0000:02:10.0"}),
    }
    assert (await kubelet.offered()).kubelet == offer.kubelet
    os.utime(socket, ns=(1, 1))
    assert (await kubelet.offered()).kubelet != offer.kubelet


async def test_a_kubelet_that_has_just_started_is_not_believed(socket: Path) -> None:
    started = socket.stat().st_mtime  # a float: today's seconds leave it 0.2 µs, so no test at exactly 30 s
    with pytest.raises(KubeletUnreachableError, match="started less than 30 s ago"):
        await podresources.PodResources(socket, now=lambda: started + 29).allocated()
    assert await podresources.PodResources(socket, now=lambda: started + 31).allocated()


async def test_no_socket_and_no_kubelet_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "kubelet.sock"
    with pytest.raises(KubeletUnreachableError, match="No such file"):
        await podresources.PodResources(path).allocated()
    path.touch()
    with pytest.raises(KubeletUnreachableError, match="UNAVAILABLE"):
        await podresources.PodResources(path, settle=0).allocated()
    with pytest.raises(KubeletUnreachableError, match="UNAVAILABLE"):
        await podresources.PodResources(path).offered()
    path.unlink()
    with pytest.raises(KubeletUnreachableError, match="No such file"):
        await podresources.PodResources(path).offered()
