"""The verbs of `virtfn`, for one node without a cluster: each replaces a hand step with lspci, modprobe or echo.

Wiring only: the pure functions and the safety law are those of the host process. `options.py` has the command line,
`show.py` and `show_plan.py` the output.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from virtfn_host.cli import completion
from virtfn_host.cli.options import BLOCKED, DONE, INTERRUPTED, NOTHING_MATCHES, REFUSED, USAGE, command
from virtfn_host.cli.output import Output
from virtfn_host.cli.policy import UsageError, read_policies
from virtfn_host.cli.show import explanation, function_table, missing
from virtfn_host.cli.show_plan import outcome_line, plan_text
from virtfn_host.core.tell.as_json import explanation_json, row_json
from virtfn_host.core.tell.explain import Explanation, explain
from virtfn_host.core.tell.listing import Lookup, Row, chosen, ids, listing
from virtfn_host.core.turn.by_hand import bound, restored
from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.policy import netdevs_named
from virtfn_host.core.turn.resolve import Resolution, resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import encode
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_host.core.values.model import InUse, Inventory, Stuck
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Outcome, Plan, Report, StepResult
from virtfn_host.executor import Executor, machine_of
from virtfn_host.linux.act.journal import Journal, has_links
from virtfn_host.linux.act.machine import only_writer
from virtfn_host.linux.errors import HostError, JournalUnreadableError, StuckError
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.look.other_names import AskedNames, asked_names
from virtfn_host.linux.look.surroundings import modalias, read_aliases, read_function, read_surroundings
from virtfn_host.linux.netlink.asks import Addresses, Netlink
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.pci_ids import read_pci_ids
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.reader import Reader
from virtfn_host.linux.use.lock import allow_many_groups, evidence, holders
from virtfn_host.linux.use.stuck import blocked_write, refused

NO_SRIOV = "no function of this machine can make VFs: none has SR-IOV (sriov_totalvfs)"


def main() -> None:
    """Entry point of `virtfn`."""
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Run a command line and return its exit status. Mistakes of users and faults of machines cause no traceback."""
    options = command(VERBS).parse_args(words)
    output = Output(as_json=options.json, color=options.color, environ=os.environ)
    verb: Callable[[argparse.Namespace, Output], int] = options.verb
    try:
        return verb(options, output)
    except UsageError as error:
        output.failed(str(error))
        return USAGE
    except HostError as error:
        output.failed(str(error), error.reason)
        return BLOCKED if error.reason is Reason.VFS_IN_USE else REFUSED
    except OSError as error:
        hint = "; run it as root" if isinstance(error, PermissionError) and os.geteuid() else ""
        where = f"{error.filename}: " if error.filename else ""
        output.failed(f"{where}{error.strerror or error}{hint}", Reason.UNREADABLE)
        return REFUSED
    except KeyboardInterrupt:
        output.complain("interrupted")
        return INTERRUPTED


# --- looking ---------------------------------------------------------------------------------------------------------


def _list(options: argparse.Namespace, output: Output) -> int:
    sysfs = _machine(options)
    inventory, in_use = _look(sysfs, output)
    lookup = Lookup(
        modalias=lambda address: modalias(sysfs, address),
        aliases=read_aliases(sysfs),
        touched=_touched(options, output),
    )
    every = listing(inventory, in_use, lookup)
    rows, lost = chosen(every, frozenset(options.addresses), everything=options.all)
    if options.json or options.verbose:
        rows = _named(options.root, rows)
    if options.json:
        output.document({"functions": [row_json(row) for row in rows], "unreadable": encode(inventory.unreadable)})
    elif rows:
        output.say(function_table(rows, names=options.verbose, paint=output.paint))
    output.complain_of((Reason.NO_MATCHING_DEVICE, missing(address)) for address in lost)
    output.complain_of((Reason.UNREADABLE, f"{it.device}: {it.path}: {it.error}") for it in inventory.unreadable)
    if not inventory.pfs:
        hint = "" if rows or not every else "; --all shows the functions that can be handed out whole"
        output.complain(NO_SRIOV + hint)
    return DONE if rows and not lost else NOTHING_MATCHES


def _named(root: Path, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    pci_ids = read_pci_ids(root, {row.ids for row in rows})
    return tuple(replace(row, names=pci_ids.names(row.ids)) for row in rows)


def _touched(options: argparse.Namespace, output: Output) -> frozenset[PciAddress]:
    """Return the functions in the journal; if it cannot be read, complain and go on: the list is useful without it."""
    try:
        return frozenset(original.address for original in Journal(_journal(options)).originals())
    except JournalUnreadableError as error:
        output.complain(str(error), error.reason)
        return frozenset()


def _explain(options: argparse.Namespace, output: Output) -> int:
    sysfs = _machine(options)
    inventory = _look_once(sysfs)
    _tell_of_blocked_write(sysfs, inventory, output)
    described = read_function(sysfs, options.address, inventory)
    if described is None:
        text = f"{options.address}: no such PCI function; `virtfn list --all` shows those of this machine"
        output.failed(text, Reason.NO_MATCHING_DEVICE)
        return NOTHING_MATCHES
    with _netlink(sysfs) as netlink:
        assigned = Addresses(netlink)
        users = holders(sysfs, options.address, name_processes=True, open_files=True, addresses=assigned)
    found = explain(described, inventory, read_surroundings(sysfs), users)
    numbers = ids(described.function, described.modalias)
    names = read_pci_ids(options.root, {numbers}).names(numbers)
    if options.json:
        output.document({**explanation_json(found), "ids": encode(numbers), "names": encode(names)})
    else:
        output.say(explanation(found, names, paint=output.paint))
    return _verdict(found)


def _verdict(found: Explanation) -> int:
    if found.possible:
        return DONE
    return BLOCKED if {hindrance.reason for hindrance in found.hindrances} == {Reason.VFS_IN_USE} else REFUSED


def _inventory(options: argparse.Namespace, output: Output) -> int:
    output.document(encode(_look_once(_machine(options))))
    return DONE


# --- deciding --------------------------------------------------------------------------------------------------------


def _plan(options: argparse.Namespace, output: Output) -> int:
    policies = read_policies(options.file)
    links = _concerns_links(options, policies)
    inventory, in_use = _look(_machine(options), output, links=links, policies=policies)
    resolution = _resolve(options, policies, inventory)
    made = plan(inventory, resolution.desired, in_use)
    if options.json:
        output.document({"plan": encode(made), "rejected": encode(resolution.rejected)})
    elif made.steps or not (made.blocked or resolution.rejected):
        output.say(plan_text(made))
    _complain(output, made, resolution)
    return _status(made, resolution)


def _verify(options: argparse.Namespace, output: Output) -> int:
    policies = read_policies(options.file)
    sysfs = _machine(options)
    with _netlink(sysfs) as netlink:
        asked = asked_names(netdevs_named(policies), netlink)
        inventory = _look_once(sysfs, netlink if _concerns_links(options, policies) else None, asked=asked)
    resolution = _resolve(options, policies, inventory)
    mismatches = verify(resolution.desired, inventory)
    if options.json:
        output.document({"mismatches": encode(mismatches), "rejected": encode(resolution.rejected)})
    troubles = [(r.reason, r.message) for r in resolution.rejected] + [(m.reason, m.message) for m in mismatches]
    for reason, message in troubles:
        output.say(f"{output.paint.bad(reason)}: {message}")
    if not troubles:
        output.say(output.paint.good(f"{Reason.CONVERGED}: everything is as the policies ask"))
    if _nothing_matches(resolution):
        return NOTHING_MATCHES
    return REFUSED if troubles else DONE


def _concerns_links(options: argparse.Namespace, policies: Sequence[PolicyConfig] = ()) -> bool:
    """Return whether a policy asks for link settings or the journal has some to give back; only then are they read."""
    asked = any(pool.link is not None for policy in policies for pool in policy.pools)
    return asked or has_links(Journal(_journal(options)).originals())


def _resolve(options: argparse.Namespace, policies: Sequence[PolicyConfig], inventory: Inventory) -> Resolution:
    originals = Journal(_journal(options)).originals()
    return resolve(NodeConfig(policies=tuple(policies)), inventory, originals)


# --- doing -----------------------------------------------------------------------------------------------------------


def _apply(options: argparse.Namespace, output: Output) -> int:
    policies = read_policies(options.file)
    links = _concerns_links(options, policies)
    return _carry_out(
        options, output, lambda inventory: _resolve(options, policies, inventory), links=links, policies=policies
    )


def _bind(options: argparse.Namespace, output: Output) -> int:
    return _carry_out(options, output, lambda inventory: bound(inventory, options.address, options.driver))


def _restore(options: argparse.Namespace, output: Output) -> int:
    if (options.address is None) != options.all:
        raise UsageError("restore: give one ADDRESS, or --all for everything that virtfn has changed")
    originals = Journal(_journal(options)).originals()
    idle = "already as asked" if originals else "virtfn has changed nothing on this machine"
    return _carry_out(options, output, lambda inventory: restored(inventory, originals, options.address), idle)


def _carry_out(
    options: argparse.Namespace,
    output: Output,
    decide: Callable[[Inventory], Resolution],
    idle: str = "already as asked",
    links: bool | None = None,
    policies: Sequence[PolicyConfig] = (),
) -> int:
    """Look, decide, plan, apply, look again. Only one process at a time does so on this node."""
    sysfs = _machine(options)
    _must_be_root(sysfs)
    allow_many_groups()
    machine = machine_of(sysfs, _journal(options), options.root)
    executor = Executor(machine)
    try:
        with only_writer(_journal(options).parent), _asked_to_stop() as stopping:
            asked = machine.netlink if links or (links is None and _concerns_links(options)) else None
            seen = OneLook(sysfs)
            inventory = _look_once(seen, asked, asked=asked_names(netdevs_named(policies), machine.netlink))
            if (stuck := executor.blocked_write(inventory)) is not None:
                raise StuckError(f"nothing was written: {stuck.text}")
            in_use = evidence(seen, inventory, name_processes=True, netlink=machine.netlink)
            resolution = decide(inventory)
            made = plan(inventory, resolution.desired, in_use)
            report = _report(executor, made, output, stopping)
            touched = {pf.address for pf in resolution.desired.pfs}
            mismatches = verify(resolution.desired, _look_once(sysfs, asked, touched))
    finally:
        executor.close()
    if options.json:
        output.document(
            {"report": encode(report), "rejected": encode(resolution.rejected), "mismatches": encode(mismatches)}
        )
    _complain(output, made, resolution)
    if not made.steps and not made.blocked and not resolution.rejected and not mismatches:
        output.say(f"nothing to do: {idle}")
    if stopping():
        return INTERRUPTED
    if any(result.outcome is not Outcome.DONE for result in report.results):
        return _failure(report)
    if made.blocked or resolution.rejected:
        return _status(made, resolution)
    output.complain_of((mismatch.reason, mismatch.message) for mismatch in mismatches)
    return REFUSED if mismatches else DONE


def _report(executor: Executor, made: Plan, output: Output, stopping: Callable[[], bool]) -> Report:
    """Carry out a plan; print each step as it ends."""

    def say(result: StepResult) -> None:
        output.say(outcome_line(result, output.paint))

    report = executor.carry_out(made, say, stopping)
    if isinstance(report, Stuck):
        report = refused(made, report)
        for result in report.results:
            say(result)
    return report


def _failure(report: Report) -> int:
    reasons = {result.reason for result in report.results if result.outcome is Outcome.FAILED}
    return BLOCKED if reasons == {Reason.VFS_IN_USE} else REFUSED


def _complain(output: Output, made: Plan, resolution: Resolution) -> None:
    output.complain_of((refusal.reason, refusal.message) for refusal in resolution.rejected)
    output.complain_of((blocked.reason, blocked.message) for blocked in made.blocked)


def _status(made: Plan, resolution: Resolution) -> int:
    if made.blocked:
        # Blocked for another reason: waiting for a holder would not help.
        return BLOCKED if any(blocked.reason is Reason.VFS_IN_USE for blocked in made.blocked) else REFUSED
    if resolution.rejected:
        return NOTHING_MATCHES if _nothing_matches(resolution) else REFUSED
    return DONE


def _nothing_matches(resolution: Resolution) -> bool:
    reasons = {refusal.reason for refusal in resolution.rejected}
    return reasons == {Reason.NO_MATCHING_DEVICE} and not resolution.desired.pfs


@contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C, a lost terminal or SIGTERM end the work before its next step, never inside one.

    A second signal ends it at once.
    """
    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        asked.append(number)
        signal.signal(number, former[signal.Signals(number)])

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


# --- the machine -----------------------------------------------------------------------------------------------------


def _machine(options: argparse.Namespace) -> Sysfs:
    root: Path = options.root.absolute()  # our reader and writer processes have / as working directory
    sysfs = Sysfs(root / "sys", root / "dev", root / "proc")
    devices = sysfs.sys / "bus/pci/devices"
    if sysfs.names(devices) is None:
        raise UsageError(f"there is no {devices}: this machine has no PCI bus, or /sys is not mounted here")
    return sysfs


@contextmanager
def _netlink(sysfs: Sysfs) -> Iterator[Netlink]:
    netlink = Netlink(sysfs.proc)
    try:
        yield netlink
    finally:
        netlink.close()


def _must_be_root(sysfs: Sysfs) -> None:
    probe = sysfs.sys / "bus/pci/drivers_probe"
    if os.geteuid() and not os.access(probe, os.W_OK):
        raise HostError(f"only root may write {probe}; run it as root")


def _look(
    sysfs: Sysfs, output: Output, *, links: bool = False, policies: Sequence[PolicyConfig] = ()
) -> tuple[Inventory, InUse]:
    """Read inventory and uses, also while another program's write is blocked; only our writes would queue behind it."""
    with _netlink(sysfs) as netlink:
        seen = OneLook(sysfs)
        asked = asked_names(netdevs_named(policies), netlink)
        inventory = _look_once(seen, netlink if links else None, asked=asked)
        _tell_of_blocked_write(sysfs, inventory, output)
        return inventory, evidence(seen, inventory, name_processes=True, netlink=netlink)


def _tell_of_blocked_write(sysfs: Sysfs, inventory: Inventory, output: Output) -> None:
    if (stuck := blocked_write(sysfs, inventory)) is not None:
        output.complain(stuck.text, Reason.STUCK)


def _look_once(
    sysfs: Sysfs,
    netlink: Netlink | None = None,
    only: Set[PciAddress] | None = None,
    *,
    asked: AskedNames | None = None,
) -> Inventory:
    reader = Reader()
    try:
        return read_inventory(sysfs, reader, netlink, only, asked)
    finally:
        reader.close()


def _journal(options: argparse.Namespace) -> Path:
    path: Path = options.root / "var/lib/virtfn/journal.json"
    return path


def _completion(options: argparse.Namespace, output: Output) -> int:
    output.say(completion.script(command(VERBS), options.shell))
    return DONE


VERBS: dict[str, Callable[[argparse.Namespace, Output], int]] = {
    "list": _list,
    "explain": _explain,
    "bind": _bind,
    "restore": _restore,
    "plan": _plan,
    "apply": _apply,
    "verify": _verify,
    "inventory": _inventory,
    "completion": _completion,
}

if __name__ == "__main__":
    main()
