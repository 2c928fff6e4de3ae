"""`virtfn boot`: make the VFs of the last verified config again, before the kubelet starts, and never keep it for ever.

`core/turn/kept.py` decides what a boot makes. Needs the standard library only, no network and no other process of ours.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from virtfn_host.cli.options import DONE, INTERRUPTED, REFUSED
from virtfn_host.cli.output import Output
from virtfn_host.core.turn.kept import Boot, at_boot
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import encode
from virtfn_host.core.values.desired import Mismatch
from virtfn_host.core.values.kept import KeptConfig
from virtfn_host.core.values.model import Inventory, Stuck
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, Report
from virtfn_host.core.values.steps import pf_of
from virtfn_host.executor import Executor
from virtfn_host.linux.act.kept import read_kept
from virtfn_host.linux.errors import StuckError
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.use.lock import evidence
from virtfn_host.linux.use.stuck import refused

AGAIN = 1.0
"""Seconds between two looks while a PF, its driver or its name may still come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootPatience:
    """How long a boot may take, in seconds."""

    wait: float
    """For PFs that are not there yet, or have no driver or another name yet."""
    within: float
    """For everything; after that no further step begins."""
    asked: Callable[[], bool] = lambda: False
    """Whether a signal asked to end."""
    now: Callable[[], float] = time.monotonic
    rest: Callable[[float], None] = time.sleep


def what_is_kept(path: Path, output: Output) -> KeptConfig | None:
    """Return the last verified config; None, and a sentence, if there is nothing to make again.

    Raises:
        DocumentError: the file is not a config that can be read.
    """
    kept = read_kept(path)
    if kept is not None and kept.cards:
        return kept
    why = "no config was verified yet" if kept is None else "the last verified config makes no VFs"
    output.say(f"nothing to make again: {why} ({path})")
    if output.as_json:
        output.document({"made": [], "left": []})
    return None


def make_again(executor: Executor, kept: KeptConfig, output: Output, patience: BootPatience) -> int:
    """Look, plan, apply, look again; print one line for each PF. The caller holds the lock of the one writer.

    Raises:
        StuckError: a write is blocked in the kernel, so nothing was begun.
    """
    began = patience.now()

    def over() -> bool:
        return patience.asked() or patience.now() - began > patience.within

    before, boot = _ready(executor, kept, patience, began)
    if (stuck := executor.blocked_write(before)) is not None:
        raise StuckError(f"nothing was written: {stuck.text}")
    report = _applied(executor, boot, over)
    machine = executor.machine
    after = read_inventory(machine.sysfs, machine.reader, only={pf.address for pf in boot.desired.pfs})
    left = tuple(_one_each([*boot.left, *_failures(report), *verify(boot.desired, after)]))
    _tell(output, boot, before, after, left)
    if patience.asked():
        return INTERRUPTED
    return REFUSED if left else DONE


def _ready(executor: Executor, kept: KeptConfig, patience: BootPatience, began: float) -> tuple[Inventory, Boot]:
    """Look until every kept PF is there with its driver, or until the time for that is over."""
    machine = executor.machine
    while True:
        seen = OneLook(machine.sysfs)
        inventory = read_inventory(seen, machine.reader)
        in_use = evidence(seen, inventory, name_processes=True)
        boot = at_boot(kept, inventory, machine.journal.originals(), in_use, machine.journal.claims())
        if not boot.early or patience.asked() or patience.now() - began >= patience.wait:
            return inventory, boot
        patience.rest(AGAIN)


def _applied(executor: Executor, boot: Boot, over: Callable[[], bool]) -> Report:
    report = executor.carry_out(boot.plan, lambda _: None, over)
    return refused(boot.plan, report) if isinstance(report, Stuck) else report


def _failures(report: Report) -> Iterator[Mismatch]:
    """The first step of each PF that was not done, a failed one before one that was not tried."""
    undone = [result for result in report.results if result.outcome is not Outcome.DONE]
    for result in sorted(undone, key=lambda result: result.outcome is not Outcome.FAILED):
        reason = result.reason or Reason.WRITE_REFUSED
        yield Mismatch(device=str(pf_of(result.step)), reason=reason, message=result.message)


def _one_each(troubles: list[Mismatch]) -> Iterator[Mismatch]:
    """The first trouble of each device: the later ones follow from it."""
    told: set[str] = set()
    for trouble in troubles:
        if trouble.device not in told:
            told.add(trouble.device)
            yield trouble


def _tell(output: Output, boot: Boot, before: Inventory, after: Inventory, left: tuple[Mismatch, ...]) -> None:
    families = {str(member.address): pf.address for pf in after.pfs for member in pf.family}
    troubled = {families.get(trouble.device, trouble.device) for trouble in left}
    made = [pf.address for pf in boot.desired.pfs if not troubled & {pf.address, str(pf.address)}]
    for address in made:
        output.say(f"{address}: {_number(after, address)} VFs {_how(boot, before, address)}")
    if output.as_json:
        output.document({"made": encode(tuple(made)), "left": encode(left)})
    output.complain_of((trouble.reason, trouble.message) for trouble in left)


def _how(boot: Boot, before: Inventory, address: PciAddress) -> str:
    if boot.plan.pf(address) is None:
        return "are there already"
    return "are there already and bound now" if _number(before, address) else "made again"


def _number(inventory: Inventory, address: PciAddress) -> int:
    pf = inventory.pf(address)
    return 0 if pf is None else pf.num_vfs
