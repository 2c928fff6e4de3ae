"""Limits of the host's socket: which user may connect, for how long, how much; no client can block the others."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from host_process import answers
from kernel import FakeKernel
from serving import serving

from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome
from virtfn_host.core.values.steps import FunctionRef, Plan, SetAutoprobe, SetDriverOverride, Settle, Step, plan_of
from virtfn_host.executor import Executor
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.process import connections, serve
from virtfn_host.process.client import HostClient, HostRefused
from virtfn_host.process.protocol import REQUEST_LIMIT, line
from virtfn_host.process.serve import Host


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path / "root", pfs=2)


@pytest.fixture
def host(kernel: FakeKernel) -> Host:
    return Host(Executor(kernel.machine()), None)


@pytest.fixture
def served(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(connections, "IDLE", 0.5)
    monkeypatch.setattr(connections, "SEND", 0.5)
    path = tmp_path / "run/host.sock"
    with serving(path, host):
        yield path


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(10)
    client.connect(str(path))
    return client


def planned(*steps: Step) -> Plan:
    return plan_of(steps)


def threads() -> int:
    return threading.active_count()


def until(true: object, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)


def test_single_bytes_do_not_extend_the_time_for_a_request(served: Path) -> None:
    with connect(served) as client:
        began = time.monotonic()
        until(lambda: _closed_at_a_byte(client))
        assert time.monotonic() - began < 5


def test_who_says_nothing_is_told_why_the_connection_ends(served: Path) -> None:
    with connect(served) as client:
        ((word, body),) = answers(client)
        assert (word, body["reason"]) == ("error", "WriteRefused")
        assert "no complete request in" in body["message"]
        assert client.recv(1) == b""


def test_a_line_that_is_too_long_is_told_to_who_is_still_sending_it(served: Path) -> None:
    for size in (REQUEST_LIMIT + 1, 4 * REQUEST_LIMIT):
        with connect(served) as client:
            client.sendall(b"x" * size + b"\n")
            ((_, body),) = answers(client)
            assert f"a line of more than {REQUEST_LIMIT} bytes" in body["message"]
            assert client.recv(1) == b""
    with connect(served) as client:
        text = line("ping")[:-2].ljust(REQUEST_LIMIT - 1) + b"}\n"
        client.sendall(text)
        assert answers(client) == [("pong", None)], "as long as may be is not too long"


def test_requests_in_one_go_are_answered_in_their_order_and_half_a_one_is_refused(served: Path) -> None:
    with connect(served) as client:
        client.sendall(line("ping") + b"what\n" + line("ping") + b'{"pi')
        client.shutdown(socket.SHUT_WR)
        words = [word for word, _ in _all(client)]
    assert words == ["pong", "error", "pong", "error"]


def test_beyond_so_many_connections_each_is_told_and_gets_no_thread(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE", 30.0)  # none of them ends before the last one is open
    with ExitStack() as stack:
        for _ in range(connections.CONNECTIONS):
            client = stack.enter_context(connect(served))
            client.sendall(line("ping"))
            assert answers(client) == [("pong", None)]
        before = threads()
        for _ in range(40):
            with connect(served) as client:
                ((word, body),) = answers(client)
            assert (word, body["reason"]) == ("error", "HostUnreachable")
            assert "connections are open already" in body["message"]
            assert threads() <= before
    until(lambda: _pong(served))


def test_somebody_else_may_not_speak(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with connect(served) as client:
        ((_, body),) = answers(client)
    assert "may not speak here" in body["message"]


def test_an_answer_that_nobody_takes_is_given_up_and_its_plan_goes_on(served: Path, kernel: FakeKernel) -> None:
    pf, other = (pf.address for pf in read_inventory(kernel.machine().sysfs).pfs)
    vfs = [FunctionRef(pf=pf, index=index, address=None) for index in range(100)]
    refused = [SetDriverOverride(function=vf, value="x" * 4000, expects=None) for vf in vfs]
    with connect(served) as client:
        client.sendall(line("apply", planned(*refused, SetAutoprobe(pf=other, value=False, expects=True))))
        until(lambda: len(kernel.writes) == 1)
        until(lambda: _pong(served))


def test_a_plan_of_a_client_that_has_gone_does_not_let_others_wait_for_what_never_settles(
    served: Path, kernel: FakeKernel
) -> None:
    pfs = [pf.address for pf in read_inventory(kernel.machine().sysfs).pfs]
    never = planned(*(Settle(pf=pf, num_vfs=5) for pf in pfs), SetAutoprobe(pf=pfs[1], value=False, expects=True))
    with connect(served) as client:
        client.sendall(line("apply", never))
        time.sleep(0.2)
    began = time.monotonic()
    flip = planned(SetAutoprobe(pf=pfs[0], value=False, expects=True))
    (result,) = asyncio.run(HostClient(served).apply(flip)).results
    assert result.outcome is Outcome.DONE
    assert time.monotonic() - began < 10
    assert len(kernel.writes) == 1, "what should have followed the settling is not tried"


def test_a_plan_of_a_client_that_has_gone_begins_no_further_pf_while_another_waits(
    served: Path, kernel: FakeKernel
) -> None:
    pfs = [pf.address for pf in read_inventory(kernel.machine().sysfs).pfs]
    begun, go_on = threading.Event(), threading.Event()

    def first_write() -> None:
        begun.set()
        go_on.wait(10)

    kernel.before_write = first_write
    flips = [SetAutoprobe(pf=pf, value=value, expects=not value) for pf in pfs for value in (False, True)]
    with connect(served) as client:
        client.sendall(line("apply", plan_of(flips)))
        assert begun.wait(10)
    with connect(served) as other:
        other.sendall(line("apply", plan_of(())))
        time.sleep(0.2)
        go_on.set()
        assert [word for word, _ in answers(other)] == ["report"]
    assert [path.split("/")[-2] for path, _ in kernel.writes] == [str(pfs[0])] * 2, "the first PF, to its end"


def test_a_plan_that_turns_a_pf_back_and_forth_is_refused_and_nothing_is_done(served: Path, kernel: FakeKernel) -> None:
    pf = read_inventory(kernel.machine().sysfs).pfs[0].address
    flips = [SetAutoprobe(pf=pf, value=value, expects=not value) for value in (False, True)] * 2
    with connect(served) as client:
        client.sendall(line("apply", plan_of(flips)))
        ((word, body),) = answers(client)
    assert word == "error"
    assert "refused, nothing was done: " in body["message"]
    assert "the plan repeats a step too often for the same function" in body["message"]
    assert kernel.writes == []


def test_a_plan_whose_client_is_there_is_waited_for_and_so_is_one_that_nobody_waits_behind(
    served: Path, kernel: FakeKernel
) -> None:
    pf = read_inventory(kernel.machine().sysfs).pfs[0].address
    settles = planned(Settle(pf=pf, num_vfs=2), SetAutoprobe(pf=pf, value=False, expects=True))
    with connect(served) as client:
        client.sendall(line("apply", settles))
        client.shutdown(socket.SHUT_WR)  # it sends no more, and still reads
        time.sleep(0.2)
        with connect(served) as other:
            other.sendall(line("apply", planned()))
            time.sleep(0.2)
            kernel._set_num_vfs(pf, 2)
            assert [word for word, _ in answers(client)] == ["result", "result", "report"]
            assert [word for word, _ in answers(other)] == ["report"]
    assert kernel.writes[-1][1] == "0"


def test_a_look_behind_one_that_hangs_is_told_that_it_is_busy_and_takes_no_thread_for_ever(
    served: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "WAIT", 0.2)
    before = threads()
    with host._looking:
        for _ in range(3 * serve.LOOKS):
            with pytest.raises(HostRefused, match="busy") as refusal:
                asyncio.run(HostClient(served).observe())
            assert refusal.value.reason is Reason.HOST_UNREACHABLE
    until(lambda: threads() <= before)
    assert asyncio.run(HostClient(served).observe()).inventory.pfs


def test_plans_beyond_those_that_may_wait_are_told_that_it_is_busy(served: Path, host: Host) -> None:
    with ExitStack() as stack, host._applying:
        waiting = [stack.enter_context(connect(served)) for _ in range(serve.PLANS + 1)]
        for client in waiting:
            client.sendall(line("apply", planned()))
        until(lambda: host._waiting == serve.PLANS + 1)
        with pytest.raises(HostRefused, match="busy"):
            asyncio.run(HostClient(served).apply(planned()))


def test_watchers_are_so_many_and_the_next_is_told(served: Path) -> None:
    with ExitStack() as stack:
        for _ in range(connections.WATCHERS):
            client = stack.enter_context(connect(served))
            client.sendall(line("watch"))
            assert b"watching" in client.recv(1000)
        with connect(served) as client:
            client.sendall(line("watch"))
            ((_, body),) = answers(client)
            assert "watch already" in body["message"]


def test_what_nobody_thought_of_is_answered_and_logged_but_not_each_time(
    served: Path, host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def odd(*_: object) -> None:
        raise ZeroDivisionError("x" * 10_000)

    monkeypatch.setattr(host, "observe", odd)
    for _ in range(50):
        with connect(served) as client:
            client.sendall(line("observe"))
            ((_, body),) = answers(client)
        assert "could not be answered: ZeroDivisionError" in body["message"]
        assert len(json.dumps(body)) < 500
    assert len([record for record in caplog.records if record.name == "virtfn.host.refused"]) <= 11


def _closed_at_a_byte(client: socket.socket) -> bool:
    time.sleep(0.05)
    try:
        client.sendall(b" ")
    except OSError:
        return True
    return False


def _pong(path: Path) -> bool:
    with connect(path) as client:
        client.sendall(line("ping"))
        return answers(client) == [("pong", None)]


def _all(client: socket.socket) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    with client.makefile("rb") as lines:
        for text in lines:
            ((word, body),) = json.loads(text).items()
            found.append((word, body))
    return found
