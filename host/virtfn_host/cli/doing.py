"""The verbs that write: apply, bind, restore, boot. Only one process at a time does so on a node."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import uuid4

from virtfn_host.cli.boot import BootPatience, make_again, what_is_kept
from virtfn_host.cli.deciding import complain, concerns_links, resolved, status
from virtfn_host.cli.machine import (
    asked_to_stop,
    boot_id_of,
    journal_file,
    journal_of,
    look_once,
    must_be_root,
    sysfs_of,
)
from virtfn_host.cli.options import BLOCKED, DONE, INTERRUPTED, REFUSED
from virtfn_host.cli.output import Output
from virtfn_host.cli.policy import UsageError, read_policies
from virtfn_host.cli.show_plan import cause, outcome_line
from virtfn_host.core.turn.by_hand import bound, restored
from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.policy import names_macs, netdevs_named
from virtfn_host.core.turn.resolve import Resolution
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.codec import encode
from virtfn_host.core.values.desired import PolicyConfig
from virtfn_host.core.values.model import Inventory, Stuck
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, Report, StepResult
from virtfn_host.core.values.steps import Plan
from virtfn_host.executor import Executor, machine_of
from virtfn_host.linux.act.machine import only_writer
from virtfn_host.linux.act.unit import UNIT, BootUnit
from virtfn_host.linux.errors import StuckError
from virtfn_host.linux.look.other_names import asked_names
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.use.lock import allow_many_groups, evidence
from virtfn_host.linux.use.stuck import refused


def run_apply(options: argparse.Namespace, output: Output) -> int:
    """Carry out policy files."""
    policies = read_policies(options.file, output.complain)
    links = concerns_links(options, policies)
    return _carry_out(
        options, output, lambda inventory: resolved(options, policies, inventory), links=links, policies=policies
    )


def run_boot(options: argparse.Namespace, output: Output) -> int:
    """Make the VFs of the last verified config again."""
    unit = BootUnit(root=options.root, boot_id=boot_id_of(options))
    if options.as_unit and not unit.disarm():
        unit.remove()
        output.say(f"no pod of virtfn has started since the last boot, so {UNIT} is removed from this node")
        return DONE
    folder = journal_file(options).parent
    if (kept := what_is_kept(folder / "config.json", output)) is None:
        return DONE
    sysfs = sysfs_of(options)
    must_be_root(sysfs)
    allow_many_groups()
    # Without netlink: its library is not in the archive, and a boot sets no links and disturbs no netdev.
    executor = Executor(replace(machine_of(sysfs, journal_file(options), options.root), netlink=None))
    try:
        with only_writer(folder), asked_to_stop() as stopping:
            patience = BootPatience(wait=options.wait, within=options.within, asked=stopping)
            return make_again(executor, kept, output, patience)
    finally:
        executor.close()


def run_bind(options: argparse.Namespace, output: Output) -> int:
    """Bind one function to a driver."""
    return _carry_out(options, output, lambda inventory: bound(inventory, options.address, options.driver))


def run_restore(options: argparse.Namespace, output: Output) -> int:
    """Give back one function, or everything that virtfn has changed."""
    if (options.address is None) != options.all:
        raise UsageError("restore: give one ADDRESS, or --all for everything that virtfn has changed")
    originals, claims = journal_of(options).originals(), journal_of(options).claims()
    idle = "already as asked" if originals else "virtfn has changed nothing on this machine"
    return _carry_out(options, output, lambda inventory: restored(inventory, originals, options.address, claims), idle)


def _carry_out(
    options: argparse.Namespace,
    output: Output,
    decide: Callable[[Inventory], Resolution],
    idle: str = "already as asked",
    links: bool | None = None,
    policies: Sequence[PolicyConfig] = (),
) -> int:
    """Look, decide, plan, apply, look again. Only one process at a time does so on this node."""
    sysfs = sysfs_of(options)
    must_be_root(sysfs)
    allow_many_groups()
    machine = machine_of(sysfs, journal_file(options), options.root)
    executor = Executor(machine)
    try:
        with only_writer(journal_file(options).parent), asked_to_stop() as stopping:
            asked = machine.netlink if links or (links is None and concerns_links(options)) else None
            seen = OneLook(sysfs)
            names = asked_names(netdevs_named(policies), machine.netlink)
            macs = machine.netlink if names_macs(policies) else None
            inventory = look_once(seen, asked, asked=names, macs=macs)
            if (stuck := executor.blocked_write(inventory)) is not None:
                raise StuckError(f"nothing was written: {stuck.text}")
            in_use = evidence(seen, inventory, name_processes=True, netlink=machine.netlink)
            resolution = decide(inventory)
            made = _as_a_wish_of_its_own(plan(inventory, resolution.desired, in_use))
            report = _report(executor, made, output, stopping)
            touched = {pf.address for pf in resolution.desired.pfs}
            mismatches = verify(resolution.desired, look_once(sysfs, asked, touched))
    finally:
        executor.close()
    if options.json:
        output.document(
            {"report": encode(report), "rejected": encode(resolution.rejected), "mismatches": encode(mismatches)}
        )
    complain(output, made, resolution)
    if not made.steps and not made.blocked and not resolution.rejected and not mismatches:
        output.say(f"nothing to do: {idle}")
    if stopping():
        return INTERRUPTED
    if any(result.outcome is not Outcome.DONE for result in report.results):
        return _failure(report)
    if made.blocked or resolution.rejected:
        return status(made, resolution)
    output.complain_of((mismatch.reason, mismatch.message) for mismatch in mismatches)
    return REFUSED if mismatches else DONE


def _as_a_wish_of_its_own(made: Plan) -> Plan:
    """Return the plan as a new wish: what a person asks for by hand was not tried before."""
    wish = f"by-hand-{uuid4().hex}"
    return Plan(pfs=tuple(replace(part, wish=wish) for part in made.pfs))


def _report(executor: Executor, made: Plan, output: Output, stopping: Callable[[], bool]) -> Report:
    """Carry out a plan; print each step as it ends."""
    told = ""

    def say(result: StepResult) -> None:
        nonlocal told
        output.say(outcome_line(result, output.paint, told))
        told = cause(result)

    report = executor.carry_out(made, say, stopping)
    if isinstance(report, Stuck):
        report = refused(made, report)
        for result in report.results:
            say(result)
    return report


def _failure(report: Report) -> int:
    reasons = {result.reason for result in report.results if result.outcome is Outcome.FAILED}
    return BLOCKED if reasons == {Reason.VFS_IN_USE} else REFUSED
