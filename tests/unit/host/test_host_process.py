"""The host process behind its socket, and the agent's client for it, on the fake kernel."""

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kernel import FakeKernel
from serving import serving

from virtfn_host.core.values.model import Pf
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, StepResult
from virtfn_host.core.values.steps import Plan, SetAutoprobe, SetNumVfs, Settle, plan_of
from virtfn_host.executor import Executor
from virtfn_host.linux.act.machine import only_writer
from virtfn_host.linux.errors import AnotherWriterError
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.touch.writer import Writer
from virtfn_host.process.client import HostClient, HostRefused, HostUnreachable
from virtfn_host.process.protocol import line
from virtfn_host.process.serve import Host, check


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path / "root", pfs=1)


@pytest.fixture
def served(kernel: FakeKernel, tmp_path: Path) -> Iterator[Path]:
    """A socket with a host process's server behind it, in a thread."""
    path = tmp_path / "run/host.sock"
    with serving(path, Host(Executor(kernel.machine()), None)):
        yield path


def two_vfs(kernel: FakeKernel) -> Plan:
    (pf,) = read_inventory(kernel.machine().sysfs).pfs
    steps = (
        SetAutoprobe(pf=pf.address, value=False, expects=True),
        SetNumVfs(pf=pf.address, value=2, expects=0),
        Settle(pf=pf.address, num_vfs=2),
    )
    return plan_of(steps)


async def test_a_look_and_a_plan_go_through_the_socket(served: Path, kernel: FakeKernel) -> None:
    client = HostClient(served)
    seen: list[StepResult] = []
    report = await client.apply(two_vfs(kernel), seen.append)
    assert [result.outcome for result in report.results] == [Outcome.DONE] * 3
    assert tuple(seen) == report.results
    observation = await client.observe()
    assert observation.inventory.pfs[0].num_vfs == 2
    assert observation.originals[0].num_vfs == 0
    assert check(served) == 0


async def test_only_its_owner_may_connect(served: Path) -> None:
    assert served.stat().st_mode & 0o777 == 0o600


async def test_an_agent_that_goes_away_stops_no_plan(served: Path, kernel: FakeKernel) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as gone:
        gone.connect(str(served))
        gone.sendall(line("apply", two_vfs(kernel)))
    client = HostClient(served)
    async with asyncio.timeout(10):
        while (await client.observe()).inventory.pfs[0].num_vfs != 2:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "text",
    [
        b"hello\n",
        b'{"request": "format"}\n',
        line("reboot"),
        b'{"apply": {"pfs": [{"pf": "0000:01:00.0", "steps": [{"kind": "RunShell", "command": "id"}]}]}}\n',
        b'{"apply": {"pfs": [{"pf": "0000:01:00.0"}]}}\n',
        b'{"apply": {"steps": []}}\n',
    ],
)
def test_what_is_no_request_is_refused_and_nothing_is_done(served: Path, kernel: FakeKernel, text: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        client.connect(str(served))
        client.sendall(text)
        answer = client.makefile().readline()
        client.sendall(line("observe"))
        assert client.makefile().readline(), "the connection is still good"
    assert "refused, nothing was done" in answer
    assert json.loads(answer)
    assert kernel.writes == []


async def test_no_host_process_is_a_word(tmp_path: Path) -> None:
    with pytest.raises(HostUnreachable, match="no host process on"):
        await HostClient(tmp_path / "none.sock").observe()
    assert check(tmp_path / "none.sock") == 1


async def test_a_host_process_that_dies_in_its_answer_is_a_word(tmp_path: Path) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b'{"observ')
        writer.close()

    path = tmp_path / "half.sock"
    async with await asyncio.start_unix_server(half, path):
        with pytest.raises(HostUnreachable, match="closed the connection in the middle"):
            await HostClient(path).observe()


async def test_what_the_host_process_cannot_do_keeps_its_own_reason(
    served: Path, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    (kernel.root / "sys/bus/pci/devices").rename(kernel.root / "sys/bus/pci/gone")
    (kernel.root / "sys/bus/pci/devices").write_text("no folder")
    with pytest.raises(HostRefused) as refusal:
        await HostClient(served).observe()
    assert refusal.value.reason is Reason.UNREADABLE


def test_there_is_one_writer_on_a_node(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with only_writer(folder), pytest.raises(AnotherWriterError, match=str(folder)), only_writer(folder):
        pass
    with only_writer(folder):
        pass
    assert list(folder.iterdir()) == []


def test_a_probe_is_answered_while_a_look_hangs(kernel: FakeKernel, tmp_path: Path) -> None:
    """A restart would mend nothing: whoever blocks the look is not this process."""
    host = Host(Executor(kernel.machine()), None)
    with serving(tmp_path / "host.sock", host), host._looking, host._executor._asking:
        assert check(tmp_path / "host.sock") == 0


def test_the_end_does_not_wait_for_ever_for_a_write_that_hangs(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sysfs = kernel.machine().sysfs
    (pf,) = read_inventory(sysfs).pfs
    plan = plan_of([SetNumVfs(pf=pf.address, value=2, expects=0)])
    numvfs = Path(sysfs.device(pf.address, "sriov_numvfs"))
    host = Host(Executor(replace(kernel.machine(), writer=Writer())), None)
    started = threading.Event()

    def on_remember(_: Pf, *, whole: bool = False) -> None:
        numvfs.unlink()
        os.mkfifo(numvfs)  # from here on, writing it blocks, as if the VF had a holder
        started.set()

    monkeypatch.setattr(host.machine.journal, "remember", on_remember)
    applying = threading.Thread(target=host.apply, args=(plan, lambda _: None))
    applying.start()
    assert started.wait(20)
    began = time.monotonic()
    host.end(grace=0.3)
    assert time.monotonic() - began < 5
    assert applying.is_alive(), "the write goes on"
    assert numvfs.read_text() == "2"
    applying.join()
    host.end()
