"""The floor: a device plugin in grpc.aio that looks at nothing, notes nothing and always gives the same answer.

`python canned.py FOLDER RESOURCE DEVICE...` registers with the kubelet in FOLDER. At SIGUSR1 the first device becomes
unhealthy, or healthy again, and a list is sent. It imports what any plugin in Python needs, and of virtfn only the
generated stubs.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator

import grpc

from virtfn_deviceplugin.v1beta1 import api_pb2 as wire
from virtfn_deviceplugin.v1beta1 import api_pb2_grpc as stubs

NODES = [
    wire.DeviceSpec(host_path=path, container_path=path, permissions="mrw")
    for path in ("/dev/vfio/vfio", "/dev/vfio/1")
]
ENVIRONMENT = {f"PCIDEVICE_VIRTFN_DEV_POOL_{number:02d}": "0000:40:00.0" * 4 for number in range(6)}


class _Canned(stubs.DevicePluginServicer):
    def __init__(self, devices: list[str]) -> None:
        self._devices = [wire.Device(ID=name, health="Healthy") for name in devices]
        self._changed = asyncio.Event()

    def change(self) -> None:
        self._devices[0].health = "Unhealthy" if self._devices[0].health == "Healthy" else "Healthy"
        self._changed.set()

    async def GetDevicePluginOptions(self, request: object, context: object) -> wire.DevicePluginOptions:  # noqa: N802
        return wire.DevicePluginOptions()

    async def ListAndWatch(self, request: object, context: object) -> AsyncIterator[wire.ListAndWatchResponse]:  # noqa: N802
        while True:
            yield wire.ListAndWatchResponse(devices=self._devices)
            await self._changed.wait()
            self._changed.clear()

    async def Allocate(self, request: wire.AllocateRequest, context: object) -> wire.AllocateResponse:  # noqa: N802
        one = wire.ContainerAllocateResponse(envs=ENVIRONMENT, devices=NODES)
        return wire.AllocateResponse(container_responses=[one for _ in request.container_requests])


async def _serve(folder: str, resource: str, devices: list[str]) -> None:
    server = grpc.aio.server()
    canned = _Canned(devices)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, canned.change)
    stubs.add_DevicePluginServicer_to_server(canned, server)
    server.add_insecure_port(f"unix://{folder}/canned.sock")
    await server.start()
    options = (("grpc.default_authority", "localhost"), ("grpc.enable_http_proxy", 0))
    async with grpc.aio.insecure_channel(f"unix://{folder}/kubelet.sock", options=options) as channel:
        request = wire.RegisterRequest(version="v1beta1", endpoint="canned.sock", resource_name=resource)
        await stubs.RegistrationStub(channel).Register(request)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], sys.argv[2], sys.argv[3:]))
