"""The host process: observes the machine, holds the in-use lock, carries out plans. Decides nothing, needs no network.

Each connection has a thread (`connections.py`): a look must be possible while another connection's write is stuck.
Plans are carried out one at a time and to their end, even if the agent goes away, because half a plan is of no use. If
the client has gone and another plan waits, the present one waits for nothing more and begins no further PF. A machine
that hangs takes only a few threads with it: further looks and plans are refused as busy.
"""

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from itertools import groupby
from pathlib import Path

from virtfn_host.core.turn.claims import may_be_proven
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.kept import KeptConfig
from virtfn_host.core.values.model import Observation, Stuck
from virtfn_host.core.values.report import Outcome, Report, StepResult
from virtfn_host.core.values.steps import Plan, holds_up_others, pf_of
from virtfn_host.core.values.tries import Tried
from virtfn_host.executor import WAIT, Executor, in_turn, machine_of
from virtfn_host.linux.act.journal import has_links
from virtfn_host.linux.act.kept import keep
from virtfn_host.linux.act.machine import Machine, only_writer
from virtfn_host.linux.act.standing import still_so
from virtfn_host.linux.errors import BusyError, HostError, JournalUnreadableError, TriesUnreadableError
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.look.other_names import asked_names
from virtfn_host.linux.look.permanent import with_every_mac
from virtfn_host.linux.look.preflight import read_preflight
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.child import ENVIRONMENT
from virtfn_host.linux.touch.reader import Reader
from virtfn_host.linux.use.lock import allow_many_groups, evidence
from virtfn_host.linux.use.stuck import refused
from virtfn_host.logs.lines import about
from virtfn_host.logs.seldom import Seldom
from virtfn_host.logs.start import LoggedArguments, add_log_options, start_log
from virtfn_host.process.connections import Server as Server
from virtfn_host.process.protocol import PLAIN, Look, line

GRACE = 20.0
"""Seconds for the running step when this process is told to end; a pod has 30 in all. A blocked write never ends."""

LOOKS, PLANS = 4, 4
"""Looks at the same time, and plans that wait. A hanging kernel call hangs all of them."""

DONE = 20_000
"""Log lines of done steps in an hour. 1,000 VFs made anew with every link setting are 9,000. A request of 1 MiB may
have 17,000 steps that need no work, and requests are not limited (2 MB of log each, measured by hand)."""

log = logging.getLogger("virtfn.host")
done = logging.getLogger("virtfn.host.done")
done.addFilter(Seldom(DONE, 3600.0))
undone = logging.getLogger("virtfn.host.undone")
undone.addFilter(Seldom(300))

_LEVELS = {Outcome.DONE: logging.INFO, Outcome.FAILED: logging.WARNING, Outcome.NOT_TRIED: logging.DEBUG}


class Host:
    """The state that the requests of all connections share."""

    def __init__(self, executor: Executor, reader: Reader | None, config: Path | None = None) -> None:
        """`config`: the file of the last verified config; None: beside the journal."""
        self._executor = executor
        self._config = config or executor.machine.journal.path.with_name("config.json")
        self._keeping = threading.Lock()
        self.machine = executor.machine
        self._reader = reader
        self._users: dict[str, str] = {}
        """The process that had each node open which was asked for."""
        self._looks = threading.BoundedSemaphore(LOOKS)
        self._looking = threading.Lock()
        self._applying = threading.Lock()
        self._plans = threading.BoundedSemaphore(PLANS + 1)
        self._waiting = 0
        """Plans that wait for the running one; guarded by `_counting`."""
        self._counting = threading.Lock()
        self._ending = threading.Event()

    def observe(self, look: Look = PLAIN) -> Observation:
        """Look once at the machine, its users, the journal, and blocked writes, ours or another program's.

        Link settings of VFs are read only if they are asked for, or if the journal has some to give back.

        Raises:
            BusyError: LOOKS looks have not returned.
            HostError: not even the list of devices can be read.
        """
        if not self._looks.acquire(timeout=WAIT):
            raise BusyError(f"busy: {LOOKS} looks at this machine have not returned")
        try:
            return self._look(look)
        finally:
            self._looks.release()

    def _look(self, look: Look) -> Observation:
        machine = self.machine
        try:
            originals, claims, journal_error = machine.journal.originals(), machine.journal.claims(), None
        except JournalUnreadableError as error:
            originals, claims, journal_error = (), (), str(error)
        netlink = machine.netlink if look.links or has_links(originals) else None
        sysfs = OneLook(machine.sysfs)
        asked = asked_names(look.netdevs, machine.netlink)
        with in_turn(self._looking, WAIT):
            macs = machine.netlink if look.macs else None
            inventory = read_inventory(sysfs, self._reader, netlink, asked=asked, guids=machine.netlink, macs=macs)
            if machine.netlink is not None and macs is None and may_be_proven(claims, inventory):
                inventory = with_every_mac(inventory, sysfs, machine.netlink)
            tries, tries_error = _tried(machine, self._reader)
        return Observation(
            inventory=inventory,
            evidence=evidence(
                sysfs, inventory, users_of=frozenset(look.users_of), last=self._users, netlink=machine.netlink
            ),
            originals=originals,
            claims=claims,
            journal_error=journal_error,
            stuck=self._executor.blocked_write(inventory),
            preflight=read_preflight(machine.sysfs),
            tries=tries,
            tries_error=tries_error,
        )

    def apply(self, plan: Plan, told: Callable[[StepResult], None], gone: Callable[[], bool] = lambda: False) -> Report:
        """Carry out a plan. While a write is blocked, none of it is done.

        Args:
            told: hears of each step as it ends.
            gone: whether the client has gone.

        Raises:
            BusyError: PLANS plans wait already.
        """
        if not self._plans.acquire(blocking=False):
            raise BusyError(f"busy: {PLANS} plans wait for the one that is being carried out")
        try:
            self._wait(1)
            self._applying.acquire()
            self._wait(-1)
            try:
                with about(**_asked_by(plan)):
                    return self._carry_out(plan, told, gone)
            finally:
                self._applying.release()
        finally:
            self._plans.release()

    def keep(self, kept: KeptConfig) -> None:
        """Keep the last verified config for the next boot (`core/turn/kept.py`).

        Raises:
            DocumentError: the file could not be written.
        """
        with self._keeping:
            if (trouble := keep(self._config, kept)) is not None:
                log.warning("%s; it was written anew", trouble)

    def _wait(self, more: int) -> None:
        with self._counting:
            self._waiting += more

    def _carry_out(self, plan: Plan, told: Callable[[StepResult], None], gone: Callable[[], bool]) -> Report:
        policies = {part.pf: ",".join(part.policies) for part in plan.pfs}
        report = self._executor.carry_out(
            plan,
            lambda result: self._ended(result, told, policies.get(pf_of(result.step), "")),
            self._ending.is_set,
            lambda: self._waiting > 0 and gone(),
        )
        if isinstance(report, Stuck):
            undone.warning("%d steps not tried: %s", len(plan.steps), report.text)
            report = refused(plan, report)
            for result in report.results:
                told(result)
        else:
            _log_untried(report, policies)
        return report

    def _ended(self, result: StepResult, told: Callable[[StepResult], None], policy: str) -> None:
        logger = done if result.outcome is Outcome.DONE else undone
        fields = {"policy": policy, "pf": str(pf_of(result.step)), "step": type(result.step).__name__}
        fields["outcome"] = result.outcome.value
        text = "%s (%s, %.3f s)", _printable(result.message), result.outcome.value, result.seconds
        logger.log(_LEVELS[result.outcome], *text, extra=fields)
        told(result)

    def end(self, grace: float = GRACE) -> None:
        """Let the running step end and start no other; a step that does not end goes on without this process."""
        self._ending.set()
        if not self._applying.acquire(timeout=grace):
            log.warning("a write has not returned in %.0f s; the kernel ends it without us", grace)
            return
        self._executor.close()


def _log_untried(report: Report, policies: Mapping[PciAddress, str]) -> None:
    """Log one line for each PF with steps that were not tried. The message of each such step repeats the cause, and the
    failed step has told it; only where no step of the PF failed, the line has it."""
    for pf, results in groupby(report.results, key=lambda result: pf_of(result.step)):
        ended = tuple(results)
        untried = [result for result in ended if result.outcome is Outcome.NOT_TRIED]
        if not untried:
            continue
        failed = any(result.outcome is Outcome.FAILED and holds_up_others(result.step) for result in ended)
        cause = "" if failed else f"; the first: {_printable(untried[0].message)}"
        fields = {"policy": policies.get(pf, ""), "pf": str(pf), "outcome": Outcome.NOT_TRIED.value}
        undone.warning("%s: %d steps not tried%s", pf, len(untried), cause, extra=fields)


def _printable(message: str) -> str:
    """A message quotes the request and the answers of programs, so it may contain any character."""
    return message if message.isprintable() else ascii(message)


def _asked_by(plan: Plan) -> dict[str, object]:
    return {} if plan.asker is None else {"node": plan.asker.node, "turn": plan.asker.turn}


def _tried(machine: Machine, reader: Reader | None) -> tuple[tuple[Tried, ...], str | None]:
    """Return what was tried on PFs that still stand as they did then, or why that cannot be read."""
    try:
        found = machine.tries.tried()
    except TriesUnreadableError as error:
        return (), str(error)
    return tuple(it for it in found if still_so(it, machine.sysfs, reader)), None


def check(path: Path) -> int:
    """Return the exit status of a probe: 0 when a host process answers on the socket within 5 s.

    The probe asks for no look: behind a blocked write a look takes long, and a restart would not mend that.
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
    start_log(options)
    allow_many_groups()
    _be_alone()
    sysfs = Sysfs(options.sys, options.dev, options.proc)
    machine = machine_of(sysfs, options.journal)
    reader = None if machine.reader is None else machine.reader.another()
    try:
        with only_writer(options.journal.parent):
            serve(options.socket, Host(Executor(machine), reader, options.config))
    except (HostError, OSError) as error:
        log.error("%s", error)
        sys.exit(1)


def _be_alone() -> None:
    """Drop what the caller of this process chose: working folder, umask, and the environment of child processes."""
    os.chdir("/")
    os.umask(0o077)
    os.environ.clear()
    os.environ.update(ENVIRONMENT)


def serve(path: Path, host: Host) -> None:
    """Serve until SIGTERM or SIGINT; the running step is finished first."""
    with Server(path, host) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            # shutdown() waits for the loop that this very thread runs, so another thread must call it.
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
        log.info("serving on %s", path)
        server.serve_forever()
    host.end()
    path.unlink(missing_ok=True)


def _arguments() -> argparse.ArgumentParser:
    parser = LoggedArguments(prog="virtfn-host", description=(__doc__ or "").split("\n")[0])
    for name, default, text in (
        ("--socket", "/run/virtfn-host/host.sock", "unix socket to serve the agent on"),
        (
            "--journal",
            "/var/lib/virtfn/journal.json",
            "file of what functions were before the first touch; its folder is locked, so that one process writes",
        ),
        ("--config", "/var/lib/virtfn/config.json", "file of the last verified config, for the next boot"),
        ("--sys", "/sys", "the host's sysfs"),
        ("--dev", "/dev", "the host's /dev"),
        ("--proc", "/proc", "the host's /proc"),
    ):
        # Absolute, because this process leaves its working folder.
        parser.add_argument(name, type=_absolute, default=Path(default), help=f"{text} (default: %(default)s)")
    add_log_options(parser)
    parser.add_argument("--check", action="store_true", help="only check whether a host process answers on the socket")
    return parser


def _absolute(text: str) -> Path:
    return Path(text).absolute()


if __name__ == "__main__":
    main()
