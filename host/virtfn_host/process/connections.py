"""The host process's socket: who may speak on it, how much, how long, and that every word is answered.

Whoever speaks there may be the agent or whoever has taken it over, so nothing is trusted: a line has a length, a
request a deadline that single bytes do not extend, connections have a number, an answer that nobody takes is given up.
Whatever goes wrong in a request is answered in one line, and the process lives. What the words do is `serve.py`'s.

A plan is carried out to its end, also when its client goes away in the middle: half a plan is nobody's wish. It gives
way only where its client is gone and another plan waits. Then what is only waited for (VFs that settle, a link that
comes up) is not waited for any more, and the steps that would have followed are not tried; and no further PF is begun,
or 28,000 steps for as many PFs would keep the next agent out for hours. Nor is a plan taken that comes back to the same
function more often than one of ours: its one PF would take as long.
"""

import contextlib
import errno
import logging
import os
import select
import socket
import socketserver
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from virtfn_host.core.values.codec import CodecError
from virtfn_host.core.values.model import Observation
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Plan, Report, StepResult, describe, too_often
from virtfn_host.core.values.strict_json import clipped
from virtfn_host.linux.errors import BusyError, HostError
from virtfn_host.linux.read.uevents import next_event, open_uevents
from virtfn_host.process.protocol import REQUEST_LIMIT, Look, error_line, line, parse, value
from virtfn_host.process.seldom import Seldom

IDLE = 30.0
"""Seconds in which a connection has to bring a whole request."""

SEND = 10.0
"""Seconds for an answer to be taken."""

DRAIN = 5.0
"""Seconds for the rest of a line that is too long: who is still sending would not read that it is."""

CONNECTIONS = 32
"""At once; an agent has two, and as many more as looks of it hang."""

WATCHERS = 8
"""Of these at most that listen for events and never end."""

PEER = struct.Struct("3i")
"""struct ucred: process, user, group. unix(7)."""

log = logging.getLogger("virtfn.host")
refusals = logging.getLogger("virtfn.host.refused")
refusals.addFilter(Seldom())


class Answers(Protocol):
    """Who does what is asked."""

    def observe(self, look: Look) -> Observation:
        """One look at the machine."""

    def apply(self, plan: Plan, told: Callable[[StepResult], None], gone: Callable[[], bool]) -> Report:
        """Carry out a plan; `gone` says whether its client is."""


class Connection(socketserver.BaseRequestHandler):
    """One client: requests in, answers out, in order."""

    server: "Server"
    request: socket.socket

    def setup(self) -> None:
        """See BaseRequestHandler."""
        self.request.settimeout(SEND)
        self._rest = bytearray()
        self._deaf = False
        """Whether an answer could not be sent: nothing more is."""

    def handle(self) -> None:
        """Answer every line until the client goes away."""
        with contextlib.suppress(ConnectionError):
            while not self._deaf and (text := self._line()) is not None:
                self._answer(text)

    def _line(self) -> bytes | None:
        """The next request, or None where there will be none."""
        until, searched = time.monotonic() + IDLE, 0
        while (end := self._rest.find(b"\n", searched)) < 0 and len(self._rest) <= REQUEST_LIMIT:
            searched = len(self._rest)
            if not self._readable(until):
                self._refuse(f"no complete request in {IDLE:.0f} s; the connection ends")
                return None
            part = self.request.recv(65536)
            if not part:
                if self._rest:
                    self._refuse("a request without its end")
                return None
            self._rest += part
        if end < 0 or end > REQUEST_LIMIT:
            self._refuse(f"a line of more than {REQUEST_LIMIT} bytes; the connection ends")
            self._drain()
            return None
        text = bytes(self._rest[:end])
        del self._rest[: end + 1]
        return text

    def _readable(self, until: float) -> bool:
        poll = select.poll()
        poll.register(self.request, select.POLLIN)
        return bool(poll.poll(max(0.0, until - time.monotonic()) * 1000))

    def _drain(self) -> None:
        until = time.monotonic() + DRAIN
        self._rest.clear()
        with contextlib.suppress(OSError):
            self.request.shutdown(socket.SHUT_WR)
            while self._readable(until) and self.request.recv(65536):
                pass

    def _answer(self, text: bytes) -> None:
        """Whatever comes of a request is one line at its end."""
        try:
            word, body = self.server.read(text)
            match word, body:
                case "observe", Look():
                    self.send(line("observation", self.server.host.observe(body)))
                case "apply", Plan():
                    report = self.server.host.apply(body, lambda result: self.send(line("result", result)), self._gone)
                    self.send(line("report", report))
                case "watch", _:
                    self._watch()
                case _:
                    self.send(line("pong"))
        except CodecError as error:
            self._refuse(str(error))
        except BusyError as error:
            refusals.warning("%s", error)
            self.send(error_line(error.reason, str(error)))
        except HostError as error:
            self.send(error_line(error.reason, str(error)))
        except Exception as error:
            refusals.exception("a request could not be answered")
            text_of_it = f"{type(error).__name__}: {clipped(str(error))}"
            self.send(error_line(Reason.UNREADABLE, f"could not be answered: {text_of_it}; see the host process's log"))

    def _refuse(self, why: str) -> None:
        refusals.warning("refused a request: %s", clipped(why))
        self.send(error_line(Reason.WRITE_REFUSED, f"refused, nothing was done: {why}"))

    def send(self, message: bytes) -> None:
        """Answer; a client that went away, or does not listen, is not told and is no reason to stop."""
        if self._deaf:
            return
        try:
            self.request.sendall(message)
        except OSError:  # gone, or SEND is over; half a line was sent, so nothing may follow it
            self._deaf = True

    def _gone(self) -> bool:
        """Whether nobody hears the answers; who only has nothing more to say is still there."""
        poll = select.poll()
        poll.register(self.request, 0)
        return self._deaf or any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))

    def _watch(self) -> None:
        """Pass events on until the client goes away; it is told apart from silence, or each that went would stay."""
        with self.server.a_watcher(), open_uevents() as listener:
            self.send(line("event", "watching"))
            poll = select.poll()
            poll.register(listener, select.POLLIN)
            poll.register(self.request, select.POLLIN)
            while not self._deaf and self.request.fileno() not in (ready for ready, _ in poll.poll()):
                if (event := next_event(listener)) is not None:
                    self.send(line("event", event))


def _bounded(plan: Plan) -> Plan:
    """A plan that does not come back to the same without end: it would be carried out to the end of that PF."""
    if (step := too_often(plan)) is not None:
        raise CodecError(f"no plan has this so often for the same function: {clipped(describe(step))}")
    return plan


def own_folder(path: Path) -> None:
    """Make the folder of a socket where there is none, and let nobody else into the one that there is.

    A volume of Kubernetes is everybody's to write until somebody says otherwise. That is said here of a folder that is
    ours and has nothing else in it; any other one that others may write is left as it is, and refused: whoever may
    write there may put a socket of his own in the place of ours.

    Raises:
        OSError: others may write there, it is somebody else's, or is no folder.
    """
    folder = path.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"belongs to user {found.st_uid}, not to {os.geteuid()}", str(folder))
    if not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return
    if {entry.name for entry in folder.iterdir()} - {path.name}:
        text = "others may write there, and it has more in it than a socket; give the socket a folder of its own"
        raise PermissionError(errno.EPERM, text, str(folder))
    folder.chmod(0o700)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The unix socket; only its owner may connect."""

    daemon_threads = True
    request_queue_size = CONNECTIONS

    def __init__(self, path: Path, host: Answers) -> None:
        self.host = host
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        self._watchers = threading.BoundedSemaphore(WATCHERS)
        self._reading = threading.Lock()
        own_folder(path)
        # Ours alone while we hold the writer's lock, so a socket that is there is a dead one's.
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            super().__init__(str(path), Connection)
        finally:
            os.umask(mask)

    def read(self, text: bytes) -> tuple[str, Look | Plan | None]:
        """The word of a request and what comes with it; one at a time, for a line grows thirtyfold as it is read.

        Raises:
            CodecError: it is no request.
        """
        with self._reading:
            word, body = parse(text, limit=REQUEST_LIMIT)
            match word:
                case "observe":
                    return word, Look() if body is None else value(Look, body)
                case "apply":
                    return word, _bounded(value(Plan, body))
                case "watch" | "ping":
                    return word, None
        raise CodecError(f"no request {clipped(word)}; known are observe, apply, watch, ping")

    @contextlib.contextmanager
    def a_watcher(self) -> Iterator[None]:
        """A place among those that listen for events.

        Raises:
            BusyError: there is none.
        """
        if not self._watchers.acquire(blocking=False):
            raise BusyError(f"busy: {WATCHERS} connections watch already")
        try:
            yield
        finally:
            self._watchers.release()

    def process_request(self, request: socket.socket, client_address: Any) -> None:  # type: ignore[override]
        """One thread a connection, where there is a place for it; never a thread to say that there is none."""
        _, user, _ = PEER.unpack(request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
        if user != os.geteuid():
            self._turn_away(request, f"user {user} may not speak here, only {os.geteuid()}")
        elif not self._places.acquire(blocking=False):
            self._turn_away(request, f"{CONNECTIONS} connections are open already")
        else:
            try:
                super().process_request(request, client_address)
            except BaseException:
                self._places.release()
                raise

    def process_request_thread(self, request: socket.socket, client_address: Any) -> None:  # type: ignore[override]
        """See ThreadingMixIn."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Logged, and nothing more: the next connection is another matter."""
        refusals.exception("a connection failed")

    def _turn_away(self, request: socket.socket, why: str) -> None:
        refusals.warning("turned a connection away: %s", why)
        with contextlib.suppress(OSError):
            request.setblocking(False)
            request.send(error_line(Reason.HOST_UNREACHABLE, f"refused, nothing was done: {why}"))
        self.shutdown_request(request)
