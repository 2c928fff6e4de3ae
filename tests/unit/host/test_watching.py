"""The host process passes kernel events on to every client; a client that goes away leaves nothing behind."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import FakeKernel
from serving import serving

from virtfn_host.executor import Executor
from virtfn_host.process.client import HostClient
from virtfn_host.process.protocol import line
from virtfn_host.process.serve import Host


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "run/host.sock"
    with serving(path, Host(Executor(FakeKernel(tmp_path / "root", pfs=0).machine()), None)):
        yield path


async def test_an_agent_that_starts_anew_watches_beside_the_one_before(served: Path) -> None:
    first, second = HostClient(served).watch(), HostClient(served).watch()
    assert [await anext(first), await anext(second)] == ["watching", "watching"]


def test_the_watch_of_a_client_that_went_away_ends_without_an_event(served: Path) -> None:
    before = set(threading.enumerate())
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(served))
        client.sendall(line("watch"))
        assert b"watching" in client.recv(1000)
        (watch,) = set(threading.enumerate()) - before
    watch.join(10)
    assert not watch.is_alive()
