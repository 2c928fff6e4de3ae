"""GET /readyz: a process that lives and is not ready yet holds an upgrade up, and is not restarted."""

import asyncio

import pytest

from virtfn_host.health import Health, HealthServer


async def status(port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return int(answer.split()[1])


@pytest.mark.parametrize(
    ("health", "healthz", "readyz"),
    [
        (Health(alive=True, text="ok"), 200, 200),
        (Health(alive=True, ready=False, text="ok"), 200, 500),
        (Health(alive=False, ready=True, text="no kubelet"), 500, 500),
        (Health(alive=False, ready=False, text="no kubelet"), 500, 500),
    ],
)
async def test_readyz_asks_for_more_than_healthz(
    unused_tcp_port: int, health: Health, healthz: int, readyz: int
) -> None:
    server = HealthServer(lambda: health)
    await server.start(unused_tcp_port)
    assert (await status(unused_tcp_port, "/healthz"), await status(unused_tcp_port, "/readyz")) == (healthz, readyz)
    await server.close()


@pytest.mark.parametrize("path", ["/ready", "/readyz/x", "/readyzz", "/"])
async def test_other_paths_are_not_there(unused_tcp_port: int, path: str) -> None:
    server = HealthServer(lambda: Health(alive=True, text="ok"))
    await server.start(unused_tcp_port)
    assert await status(unused_tcp_port, path) == 404
    await server.close()
