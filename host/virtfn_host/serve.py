"""The host process: observes the machine, holds the in-use lock, carries out plans. Decides nothing, needs no network.

One thread a connection: an observation must be possible while another connection's write is stuck. Plans are carried
out one at a time, to their end, also when the agent goes away in the middle: half a plan is nobody's wish.
"""

import argparse
import contextlib
import functools
import logging
import os
import select
import signal
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from virtfn_host.core.codec import CodecError
from virtfn_host.core.model import Inventory, Observation, Stuck
from virtfn_host.core.reasons import Reason
from virtfn_host.core.steps import Outcome, Plan, Report, StepResult
from virtfn_host.linux.apply import apply
from virtfn_host.linux.canary import Canary
from virtfn_host.linux.custody import allow_many_groups, evidence
from virtfn_host.linux.errors import HostError, JournalUnreadableError
from virtfn_host.linux.holding import who_blocks
from virtfn_host.linux.inventory import read_inventory
from virtfn_host.linux.journal import Journal, has_links
from virtfn_host.linux.machine import Machine, only_writer
from virtfn_host.linux.modules import Modprobe
from virtfn_host.linux.netlink import Netlink
from virtfn_host.linux.onelook import OneLook
from virtfn_host.linux.preflight import read_preflight
from virtfn_host.linux.reader import Reader
from virtfn_host.linux.stuck import hanging, others_write, pfs_now, refused
from virtfn_host.linux.sysfs import Sysfs
from virtfn_host.linux.uevents import next_event, open_uevents
from virtfn_host.linux.writer import Writer
from virtfn_host.protocol import LINE_LIMIT, Look, error_line, line, parse, value

GRACE = 20.0
"""Seconds for the step which runs when we are told to end; a pod has 30 in all. A blocked write takes for ever."""

PLAIN = Look()
"""What is looked at when nothing more is asked."""

log = logging.getLogger("virtfn.host")


class Host:
    """What the requests of all connections share."""

    def __init__(self, machine: Machine, reader: Reader | None) -> None:
        self.machine = machine
        self._reader = reader
        self._looking = threading.Lock()
        self._applying = threading.Lock()
        self._canary = Canary()
        self._asking = threading.Lock()
        self._writes = False
        """Whether a plan is being carried out; under `_asking`, so that no read waits for a write of our own."""
        self._ending = threading.Event()

    def observe(self, look: Look = PLAIN) -> Observation:
        """One look at the machine, its users, the journal, the writer, and whether somebody else's write is blocked.

        Link settings of VFs only where they are asked for, or noted to be given back.

        Raises:
            HostError: not even the list of devices can be read.
        """
        machine = self.machine
        try:
            originals, journal_error = machine.journal.originals(), None
        except JournalUnreadableError as error:
            originals, journal_error = (), str(error)
        netlink = machine.netlink if look.links or has_links(originals) else None
        sysfs = OneLook(machine.sysfs)
        with self._looking:
            inventory = read_inventory(sysfs, self._reader, netlink)
        return Observation(
            inventory=inventory,
            evidence=evidence(sysfs, inventory, netlink=machine.netlink),
            originals=originals,
            journal_error=journal_error,
            stuck=machine.writer.stuck() or self._others_write(inventory),
            preflight=read_preflight(machine.sysfs),
        )

    def _others_write(self, inventory: Inventory) -> Stuck | None:
        with self._asking:
            return None if self._writes else others_write(self.machine.sysfs, self._canary, inventory)

    def apply(self, plan: Plan, told: Callable[[StepResult], None]) -> Report:
        """Carry out a plan, `told` of each step as it ends; all of it is left undone while a write is blocked."""
        with self._applying:
            # Nobody else uses the canary from here on: while we write, a look does not ask it.
            others = functools.partial(hanging, self.machine.sysfs, self._canary, tuple(pfs_now(self.machine.sysfs)))
            if (stuck := self._begin(others)) is not None:
                log.warning("%d steps not tried: %s", len(plan.steps), stuck.text)
                report = refused(plan, stuck)
                for result in report.results:
                    told(result)
                return report
            try:
                return apply(plan, self.machine, lambda result: self._ended(result, told), self._ending.is_set, others)
            finally:
                with self._asking:
                    self._writes = False

    def _begin(self, others: Callable[[], Stuck | None]) -> Stuck | None:
        """Why not to: a write of ours would queue behind somebody else's, and be executed when nobody expects it."""
        with self._asking:
            stuck = self.machine.writer.stuck() or others()
            self._writes = stuck is None
        return stuck

    def _ended(self, result: StepResult, told: Callable[[StepResult], None]) -> None:
        level = logging.INFO if result.outcome is Outcome.DONE else logging.WARNING
        log.log(level, "%s (%s, %.3f s)", result.message, result.outcome.value, result.seconds)
        told(result)

    def end(self, grace: float = GRACE) -> None:
        """Let the step that runs end and start no other; one that does not end goes on without this process."""
        self._ending.set()
        if not self._applying.acquire(timeout=grace):
            log.warning("a write has not returned in %.0f s; the kernel ends it without us", grace)
            return
        self.machine.writer.close()
        if self.machine.netlink is not None:
            self.machine.netlink.close()
        with self._asking:
            self._canary.close()


def _look(body: object) -> Look:
    return PLAIN if body is None else value(Look, body)


class Connection(socketserver.StreamRequestHandler):
    """One client: requests in, answers out, in order."""

    server: "Server"

    def handle(self) -> None:
        """Answer every line until the client goes away."""
        with contextlib.suppress(ConnectionError):
            while text := self.rfile.readline(LINE_LIMIT):
                self._answer(text)

    def _answer(self, text: bytes) -> None:
        try:
            word, body = parse(text)
            match word:
                case "observe":
                    self.send(line("observation", self.server.host.observe(_look(body))))
                case "apply":
                    plan = value(Plan, body)
                    report = self.server.host.apply(plan, lambda result: self.send(line("result", result)))
                    self.send(line("report", report))
                case "watch":
                    self._watch()
                case "ping":
                    self.send(line("pong"))
                case _:
                    raise CodecError(f"no request {word!r}; known are observe, apply, watch, ping")
        except CodecError as error:
            log.warning("refused a request: %s", error)
            self.send(error_line(Reason.WRITE_REFUSED, f"refused, nothing was done: {error}"))
        except HostError as error:
            self.send(error_line(error.reason, str(error)))

    def send(self, message: bytes) -> None:
        """Answer; a client that went away is not told and is no reason to stop."""
        with contextlib.suppress(ConnectionError):
            self.wfile.write(message)

    def _watch(self) -> None:
        """Pass events on until the client goes away; it is told apart from silence, or each that went would stay."""
        with open_uevents() as listener:
            self.wfile.write(line("event", "watching"))
            poll = select.poll()
            poll.register(listener, select.POLLIN)
            poll.register(self.connection, select.POLLIN)
            while self.connection.fileno() not in (ready for ready, _ in poll.poll()):
                if (event := next_event(listener)) is not None:
                    self.wfile.write(line("event", event))


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The unix socket; only its owner may connect."""

    daemon_threads = True

    def __init__(self, path: Path, host: Host) -> None:
        self.host = host
        path.parent.mkdir(parents=True, exist_ok=True)
        # Ours alone while we hold the writer's lock, so a socket that is there is a dead one's.
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            super().__init__(str(path), Connection)
        finally:
            os.umask(mask)


def check(path: Path) -> int:
    """Exit status of a probe: 0 when a host process answers on the socket within 5 s.

    It is not asked to look at the machine: a look takes its time behind a blocked write, which no restart mends.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            client.connect(str(path))
            client.sendall(line("ping"))
            return 0 if client.recv(1) == b"{" else 1
    except OSError as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1


def main() -> None:
    """Entry point of `virtfn-host`."""
    options = _arguments().parse_args()
    if options.check:
        sys.exit(check(options.socket))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    allow_many_groups()
    sysfs = Sysfs(options.sys, options.dev, options.proc)
    machine = Machine(
        sysfs=sysfs,
        writer=Writer(functools.partial(who_blocks, sysfs)),
        journal=Journal(options.journal),
        modules=Modprobe(),
        netlink=Netlink(options.proc),
    )
    try:
        with only_writer(options.journal.parent):
            serve(options.socket, Host(machine, Reader()))
    except (HostError, OSError) as error:
        log.error("%s", error)
        sys.exit(1)


def serve(path: Path, host: Host) -> None:
    """Serve until SIGTERM or SIGINT; the step that runs then is finished first."""
    with Server(path, host) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            # shutdown() waits for the loop that this very thread runs, so another one has to say it.
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
        log.info("serving on %s", path)
        server.serve_forever()
    host.end()
    path.unlink(missing_ok=True)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="virtfn-host", description=(__doc__ or "").split("\n")[0])
    for name, default, text in (
        ("--socket", "/run/virtfn-host/host.sock", "unix socket to serve the agent on"),
        (
            "--journal",
            "/var/lib/virtfn/journal.json",
            "what functions were before the first touch; its folder is locked: one writer per node",
        ),
        ("--sys", "/sys", "the host's sysfs"),
        ("--dev", "/dev", "the host's /dev"),
        ("--proc", "/proc", "the host's /proc"),
    ):
        parser.add_argument(name, type=Path, default=Path(default), help=f"{text} (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="only ask whether a host process answers on the socket")
    return parser


if __name__ == "__main__":
    main()
