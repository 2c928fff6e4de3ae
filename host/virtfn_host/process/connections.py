"""The host process's socket: who may connect, limits of size, time and number, and one answer for every request.

The client may be the agent or an attacker who has taken over the agent, so nothing is trusted. A line has a maximal
length. A request has a deadline that single bytes do not extend. The number of connections is limited. An answer that
the client does not take is given up. Every failure of a request is answered in one line, and the process lives.
`serve.py` carries out the requests.

A plan is carried out to its end even if its client goes away, because half a plan is of no use. It gives way only if
the client has gone and another plan waits. Then waiting (for VFs to settle, for a link to come up) ends, the steps that
depend on it are not tried, and no further PF is begun: 28,000 steps for as many PFs would keep the next agent out for
hours. A plan that comes back to the same function more often than our own plans do is refused, because its one PF would
take as long.
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
from virtfn_host.core.values.kept import KeptConfig, check_kept
from virtfn_host.core.values.model import Observation
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Report, StepResult
from virtfn_host.core.values.steps import Plan, describe, too_often
from virtfn_host.core.values.strict_json import clipped
from virtfn_host.linux.errors import BusyError, HostError
from virtfn_host.linux.read.uevents import next_event, open_uevents
from virtfn_host.logs.seldom import Seldom
from virtfn_host.process.protocol import REQUEST_LIMIT, Look, error_line, line, parse, value

IDLE = 30.0
"""Seconds within which a connection must bring a whole request."""

SEND = 10.0
"""Seconds within which the client must take an answer."""

DRAIN = 5.0
"""Seconds to read the rest of a line that is too long: a client that is still sending would not read the answer."""

CONNECTIONS = 32
"""Connections at the same time. An agent has two, and one more for each of its looks that hangs."""

WATCHERS = 8
"""Connections that may listen for events, and so never end."""

PEER = struct.Struct("3i")
"""struct ucred: process, user, group. unix(7)."""

log = logging.getLogger("virtfn.host")
refusals = logging.getLogger("virtfn.host.refused")
refusals.addFilter(Seldom())


class Answers(Protocol):
    """What carries out the requests."""

    def observe(self, look: Look) -> Observation:
        """Look at the machine once."""

    def apply(self, plan: Plan, told: Callable[[StepResult], None], gone: Callable[[], bool]) -> Report:
        """Carry out a plan; `gone` tells whether its client has gone."""

    def keep(self, kept: KeptConfig) -> None:
        """Keep the last verified config for the next boot."""


class Connection(socketserver.BaseRequestHandler):
    """One client: requests in, answers out, in order."""

    server: "Server"
    request: socket.socket

    def setup(self) -> None:
        """See BaseRequestHandler."""
        self.request.settimeout(SEND)
        self._rest = bytearray()
        self._deaf = False
        """Whether an answer could not be sent; then no further one is."""

    def handle(self) -> None:
        """Answer every line until the client goes away."""
        with contextlib.suppress(ConnectionError):
            while not self._deaf and (text := self._line()) is not None:
                self._answer(text)

    def _line(self) -> bytes | None:
        """Read the next request; None when there will be none."""
        until, searched = time.monotonic() + IDLE, 0
        while (end := self._rest.find(b"\n", searched)) < 0 and len(self._rest) <= REQUEST_LIMIT:
            searched = len(self._rest)
            if not self._readable(until):
                self._refuse(f"no complete request in {IDLE:.0f} s; the connection ends")
                return None
            part = self.request.recv(65536)
            if not part:
                if self._rest:
                    self._refuse("a request without a newline at its end")
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
        """Carry out one request. Its last answer is always one line, whatever happens."""
        try:
            word, body = self.server.read(text)
            match word, body:
                case "observe", Look():
                    self.send(line("observation", self.server.host.observe(body)))
                case "apply", Plan():
                    report = self.server.host.apply(body, lambda result: self.send(line("result", result)), self._gone)
                    self.send(line("report", report))
                case "keep", KeptConfig():
                    self.server.host.keep(body)
                    self.send(line("kept"))
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
        """Send a line. A client that has gone or does not read gets nothing more; its plan goes on."""
        if self._deaf:
            return
        try:
            self.request.sendall(message)
        except OSError:  # gone, or SEND is over; half a line may have been sent, so nothing may follow it
            self._deaf = True

    def _gone(self) -> bool:
        """Whether the client has gone. One that has only closed its sending side is still there."""
        poll = select.poll()
        poll.register(self.request, 0)
        return self._deaf or any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))

    def _watch(self) -> None:
        """Pass events on until the client closes the connection, which must be detected, or this thread would never
        end."""
        with self.server.a_watcher(), open_uevents() as listener:
            self.send(line("event", "watching"))
            poll = select.poll()
            poll.register(listener, select.POLLIN)
            poll.register(self.request, select.POLLIN)
            while not self._deaf and self.request.fileno() not in (ready for ready, _ in poll.poll()):
                if (event := next_event(listener)) is not None:
                    self.send(line("event", event))


def _bounded(plan: Plan) -> Plan:
    """Return the plan; refuse one that repeats a step on the same function again and again: it could not be stopped
    inside that PF."""
    if (step := too_often(plan)) is not None:
        raise CodecError(f"the plan repeats a step too often for the same function: {clipped(describe(step))}")
    return plan


def _within_bounds(kept: KeptConfig) -> KeptConfig:
    try:
        return check_kept(kept)
    except ValueError as error:
        raise CodecError(f"KeptConfig: {error}") from error


def own_folder(path: Path) -> None:
    """Make the folder of a socket where it is missing, and keep other users out of an existing one.

    Every user may write into a new Kubernetes volume. If the folder is ours and has nothing but the socket in it, its
    mode is changed. Any other folder that others may write is refused and left as it is: they could put a socket of
    their own in place of ours.

    Raises:
        OSError: others may write there, the folder belongs to another user, or it is not a folder.
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
        # We hold the writer's lock, so an existing socket was left by a process that has ended.
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            super().__init__(str(path), Connection)
        finally:
            os.umask(mask)

    def read(self, text: bytes) -> tuple[str, Look | Plan | KeptConfig | None]:
        """Return the word of a request and its value. One at a time, because a line takes thirty times its size here.

        Raises:
            CodecError: the text is not a request.
        """
        with self._reading:
            word, body = parse(text, limit=REQUEST_LIMIT)
            match word:
                case "observe":
                    return word, Look() if body is None else value(Look, body)
                case "apply":
                    return word, _bounded(value(Plan, body))
                case "keep":
                    return word, _within_bounds(value(KeptConfig, body))
                case "watch" | "ping":
                    return word, None
        raise CodecError(f"no request {clipped(word)}; known are observe, apply, keep, watch, ping")

    @contextlib.contextmanager
    def a_watcher(self) -> Iterator[None]:
        """Take one of the WATCHERS places.

        Raises:
            BusyError: all places are taken.
        """
        if not self._watchers.acquire(blocking=False):
            raise BusyError(f"busy: {WATCHERS} connections watch already")
        try:
            yield
        finally:
            self._watchers.release()

    def process_request(self, request: socket.socket, client_address: Any) -> None:  # type: ignore[override]
        """Start a thread for a connection if there is a place for it; a refusal needs no thread."""
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
        """Log the error and go on with the next connection."""
        refusals.exception("a connection failed")

    def _turn_away(self, request: socket.socket, why: str) -> None:
        refusals.warning("turned a connection away: %s", why)
        with contextlib.suppress(OSError):
            request.setblocking(False)
            request.send(error_line(Reason.HOST_UNREACHABLE, f"refused, nothing was done: {why}"))
        self.shutdown_request(request)
