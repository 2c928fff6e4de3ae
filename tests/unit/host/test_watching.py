"""Kernel events through the host process: every client hears them, and one that goes away leaves nothing behind."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.client import HostClient
from virtfn_host.protocol import line
from virtfn_host.serve import Host, Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    host = Host(FakeKernel(tmp_path / "root", pfs=0).machine(), None)
    with Server(tmp_path / "run/host.sock", host) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
    host.end()


async def test_an_agent_that_starts_anew_watches_beside_the_one_before(server: Server) -> None:
    path = Path(str(server.server_address))
    first, second = HostClient(path).watch(), HostClient(path).watch()
    assert [await anext(first), await anext(second)] == ["watching", "watching"]


def test_the_watch_of_a_client_that_went_away_ends_without_an_event(server: Server) -> None:
    before = set(threading.enumerate())
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(server.server_address))
        client.sendall(line("watch"))
        assert b"watching" in client.recv(1000)
        (watch,) = set(threading.enumerate()) - before
    watch.join(10)
    assert not watch.is_alive()
