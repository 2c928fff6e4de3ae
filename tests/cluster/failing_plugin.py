"""A device plugin that fails as its first argument says; it prints each call. Runs in the device plugin's image.

`options`: GetDevicePluginOptions fails. `list`: ListAndWatch fails at once. `later`: it fails after SIGUSR1.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from virtfn_deviceplugin.v1beta1 import api_pb2 as wire
from virtfn_deviceplugin.v1beta1 import api_pb2_grpc as stubs

FOLDER = Path("/var/lib/kubelet/device-plugins")


def say(text: str) -> None:
    print(text, flush=True)


class Failing(stubs.DevicePluginServicer):
    def __init__(self, way: str, failing: asyncio.Event) -> None:
        self._way = way
        self._failing = failing

    async def GetDevicePluginOptions(self, request: object, context: Any) -> wire.DevicePluginOptions:  # noqa: N802
        say("called GetDevicePluginOptions")
        if self._way == "options":
            await context.abort(grpc.StatusCode.UNKNOWN, "GetDevicePluginOptions failed")
        return wire.DevicePluginOptions()

    async def ListAndWatch(self, request: object, context: Any) -> AsyncIterator[wire.ListAndWatchResponse]:  # noqa: N802
        say("called ListAndWatch")
        if self._way != "list":
            yield wire.ListAndWatchResponse(devices=[wire.Device(ID=one, health="Healthy") for one in ("0", "1")])
            await self._failing.wait()
        await context.abort(grpc.StatusCode.UNKNOWN, "ListAndWatch failed")


async def main(way: str, resource: str) -> None:
    failing = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, failing.set)
    socket = FOLDER / f"failing-{way}.sock"
    server = grpc.aio.server()
    stubs.add_DevicePluginServicer_to_server(Failing(way, failing), server)
    server.add_insecure_port(f"unix://{socket}")
    await server.start()
    options = (("grpc.default_authority", "localhost"), ("grpc.enable_http_proxy", 0))
    async with grpc.aio.insecure_channel(f"unix://{FOLDER / 'kubelet.sock'}", options=options) as channel:
        request = wire.RegisterRequest(version="v1beta1", endpoint=socket.name, resource_name=resource)
        try:
            await stubs.RegistrationStub(channel).Register(request, timeout=30)
        except grpc.aio.AioRpcError as error:
            say(f"refused: {error.details()}")
        else:
            say("registered")
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
