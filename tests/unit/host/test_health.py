"""The health port answers a probe even if other clients hold connections, and it limits their number."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from virtfn_host import health
from virtfn_host.health import Health, HealthServer

PROBE = b"GET /healthz HTTP/1.1\r\nHost: 10.0.0.7:8081\r\nUser-Agent: kube-probe/1.34\r\nConnection: close\r\n\r\n"


@pytest.fixture
async def port(unused_tcp_port: int) -> AsyncIterator[int]:
    server = HealthServer(lambda: Health(alive=True, text="ok"))
    await server.start(unused_tcp_port)
    yield unused_tcp_port
    await server.close()


async def asked(port: int, question: bytes = PROBE) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(question)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("said", [b"", b"GET ", b"x" * 4000], ids=["nothing", "half", "much"])
async def test_a_probe_is_answered_while_others_hold_more_connections_than_there_are_places(
    port: int, said: bytes
) -> None:
    before = open_files()
    held = []
    for _ in range(health.CONNECTIONS * 4):
        held.append(await asyncio.open_connection("127.0.0.1", port))
        held[-1][1].write(said)
    assert (await asked(port)).startswith(b"HTTP/1.1 200 OK\r\n")
    await until(lambda: open_files() - before <= len(held) + health.CONNECTIONS)
    for _, writer in held:
        writer.close()
    await until(lambda: open_files() <= before + 1)


@pytest.mark.parametrize(
    ("question", "answer"),
    [(PROBE, b"HTTP/1.1 200 OK"), (b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 404"), (b"x" * 20_000, b"")],
    ids=["probe", "another path", "endless"],
)
async def test_what_is_asked_is_answered_and_what_is_no_question_is_cut_off(
    port: int, question: bytes, answer: bytes
) -> None:
    try:
        found = await asked(port, question)
    except ConnectionResetError:
        found = b""
    assert found.startswith(answer)
    assert bool(found) is bool(answer)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)
