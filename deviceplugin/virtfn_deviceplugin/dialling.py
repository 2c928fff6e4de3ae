"""Connects to the kubelet, and registers a resource with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from virtfn_deviceplugin.kubelet import KubeletFolder, KubeletSocket, NoKubeletError
from virtfn_deviceplugin.v1beta1 import api_pb2 as wire
from virtfn_deviceplugin.v1beta1 import api_pb2_grpc as stubs

VERSION = "v1beta1"
CONNECT_DEADLINE = 10.0
"""Seconds to connect to the kubelet's socket; a stopped kubelet may never accept the connection."""
REGISTER_DEADLINE = 60.0
"""Seconds for the answer to Register: the kubelet first dials back for up to 10 s, and may be under load."""


@asynccontextmanager
async def connected(folder: KubeletFolder) -> AsyncIterator[tuple[grpc.aio.Channel, KubeletSocket]]:
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


async def register(
    channel: grpc.aio.Channel, resource_name: str, endpoint: str, options: wire.DevicePluginOptions
) -> None:
    """Tell the kubelet of a resource, and of the socket that it is served at.

    Raises:
        AioRpcError: the kubelet refused, or did not answer.
    """
    request = wire.RegisterRequest(version=VERSION, endpoint=endpoint, resource_name=resource_name, options=options)
    await stubs.RegistrationStub(channel).Register(request, timeout=REGISTER_DEADLINE)
