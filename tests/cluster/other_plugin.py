"""A device plugin as other tools have one: it offers the functions that its arguments name, by their PCI address.

`python other_plugin.py RESOURCE ADDRESS...`. A container gets the addresses in its environment, and of functions on
vfio-pci the device nodes. Runs in the device plugin's image; of virtfn it imports only the generated stubs.
"""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc

from virtfn_deviceplugin.v1beta1 import api_pb2 as wire
from virtfn_deviceplugin.v1beta1 import api_pb2_grpc as stubs

FOLDER = Path("/var/lib/kubelet/device-plugins")
DEVICES = Path("/sys/bus/pci/devices")


class Other(stubs.DevicePluginServicer):
    def __init__(self, resource: str, addresses: Sequence[str]) -> None:
        self._variable = "PCIDEVICE_" + re.sub(r"[^A-Z0-9]", "_", resource.upper())
        self._devices = [wire.Device(ID=address, health="Healthy") for address in addresses]

    async def GetDevicePluginOptions(self, request: object, context: Any) -> wire.DevicePluginOptions:  # noqa: N802
        return wire.DevicePluginOptions()

    async def ListAndWatch(self, request: object, context: Any) -> AsyncIterator[wire.ListAndWatchResponse]:  # noqa: N802
        yield wire.ListAndWatchResponse(devices=self._devices)
        await asyncio.Event().wait()

    async def Allocate(self, request: wire.AllocateRequest, context: Any) -> wire.AllocateResponse:  # noqa: N802
        answers = [self._container(list(one.devices_ids)) for one in request.container_requests]
        return wire.AllocateResponse(container_responses=answers)

    def _container(self, ids: list[str]) -> wire.ContainerAllocateResponse:
        on_vfio = [one for one in ids if (DEVICES / one / "driver").readlink().name == "vfio-pci"]
        groups = sorted({f"/dev/vfio/{(DEVICES / one / 'iommu_group').readlink().name}" for one in on_vfio})
        paths = ["/dev/vfio/vfio", *groups] if groups else []
        nodes = [wire.DeviceSpec(host_path=path, container_path=path, permissions="mrw") for path in paths]
        return wire.ContainerAllocateResponse(envs={self._variable: ",".join(ids)}, devices=nodes)


async def main(resource: str, *addresses: str) -> None:
    socket = FOLDER / f"other-{resource.replace('/', '-')}.sock"
    socket.unlink(missing_ok=True)
    server = grpc.aio.server()
    stubs.add_DevicePluginServicer_to_server(Other(resource, addresses), server)
    server.add_insecure_port(f"unix://{socket}")
    await server.start()
    options = (("grpc.default_authority", "localhost"), ("grpc.enable_http_proxy", 0))
    async with grpc.aio.insecure_channel(f"unix://{FOLDER / 'kubelet.sock'}", options=options) as channel:
        request = wire.RegisterRequest(version="v1beta1", endpoint=socket.name, resource_name=resource)
        await stubs.RegistrationStub(channel).Register(request, timeout=30)
    print("registered", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
