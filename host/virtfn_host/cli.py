"""`virtfn` on a node, as root, without a cluster: each verb is a hand step, as with lspci, modprobe and echo.

Wiring only; the same pure functions and the same law as in the host process. What may be typed is `cli_options.py`,
what is printed `show.py` and `show_plan.py`.
"""

import argparse
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from virtfn_host import cli_completion
from virtfn_host.cli_options import BLOCKED, DONE, INTERRUPTED, MACHINE_SAID_NO, NOTHING_MATCHES, USAGE, command
from virtfn_host.cli_output import Output
from virtfn_host.cli_policy import UsageError, read_policies
from virtfn_host.core.address import PciAddress
from virtfn_host.core.by_hand import bound, restored
from virtfn_host.core.codec import encode
from virtfn_host.core.explain import Explanation, explain
from virtfn_host.core.listing import Lookup, Row, chosen, ids, listing
from virtfn_host.core.model import InUse, Inventory, NodeConfig
from virtfn_host.core.plan import plan
from virtfn_host.core.reasons import Reason
from virtfn_host.core.resolve import Resolution, resolve
from virtfn_host.core.steps import Blocked, Outcome, Plan, StepResult, describe
from virtfn_host.core.verify import verify
from virtfn_host.linux.apply import Machine, apply, only_writer
from virtfn_host.linux.custody import evidence, holders
from virtfn_host.linux.errors import HostError, JournalUnreadableError, StuckError
from virtfn_host.linux.holding import who_blocks
from virtfn_host.linux.inventory import read_inventory
from virtfn_host.linux.journal import Journal
from virtfn_host.linux.modules import Modprobe
from virtfn_host.linux.pci_ids import read_pci_ids
from virtfn_host.linux.reader import Reader, patient
from virtfn_host.linux.stuck import blocked_write
from virtfn_host.linux.surroundings import modalias, read_aliases, read_function, read_surroundings
from virtfn_host.linux.sysfs import Sysfs
from virtfn_host.linux.writer import Writer
from virtfn_host.show import explanation, function_table, missing
from virtfn_host.show_plan import outcome_line, plan_text

NO_SRIOV = "no function of this machine can make VFs: none has SR-IOV (sriov_totalvfs)"


def main() -> None:
    """Entry point of `virtfn`."""
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Exit status of a command line; never a traceback for what a user or a machine can do."""
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
        return BLOCKED if error.reason is Reason.VFS_IN_USE else MACHINE_SAID_NO
    except OSError as error:
        hint = "; run it as root" if isinstance(error, PermissionError) and os.geteuid() else ""
        where = f"{error.filename}: " if error.filename else ""
        output.failed(f"{where}{error.strerror or error}{hint}", Reason.UNREADABLE)
        return MACHINE_SAID_NO
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
        output.document({"functions": encode(rows), "unreadable": encode(inventory.unreadable)})
    elif rows:
        output.say(function_table(rows, names=options.verbose, paint=output.paint))
    output.complain_of((Reason.NO_MATCHING_DEVICE, missing(address)) for address in lost)
    output.complain_of((Reason.UNREADABLE, f"{it.device}: {it.path}: {it.error}") for it in inventory.unreadable)
    if not any(row.total_vfs is not None for row in every):
        hint = "" if rows or not every else "; --all shows the functions that could be handed out whole"
        output.complain(NO_SRIOV + hint)
    return DONE if rows and not lost else NOTHING_MATCHES


def _named(root: Path, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    pci_ids = read_pci_ids(root, {row.ids for row in rows})
    return tuple(replace(row, names=pci_ids.names(row.ids)) for row in rows)


def _touched(options: argparse.Namespace, output: Output) -> frozenset[PciAddress]:
    """Functions that the journal knows; a list can do without."""
    try:
        return frozenset(original.address for original in Journal(_journal(options)).originals())
    except JournalUnreadableError as error:
        output.complain(str(error), error.reason)
        return frozenset()


def _explain(options: argparse.Namespace, output: Output) -> int:
    sysfs = _machine(options)
    inventory = _look_once(sysfs)
    _tell_of_blocked_write(sysfs, inventory, output)
    with patient(sysfs) as asked:
        function = read_function(asked, options.address, inventory)
    if function is None:
        text = f"{options.address} is not there; `virtfn list --all` shows functions that are"
        output.failed(text, Reason.NO_MATCHING_DEVICE)
        return NOTHING_MATCHES
    found = explain(
        function, read_surroundings(sysfs), holders(sysfs, options.address, name_processes=True, open_files=True)
    )
    numbers = ids(function.vendor, function.device, function.class_code, function.modalias)
    names = read_pci_ids(options.root, {numbers}).names(numbers)
    if options.json:
        output.document({**encode(found), "ids": encode(numbers), "names": encode(names)})
    else:
        output.say(explanation(found, names, paint=output.paint))
    return _verdict(found)


def _verdict(found: Explanation) -> int:
    if found.possible:
        return DONE
    return BLOCKED if {hindrance.reason for hindrance in found.hindrances} == {Reason.VFS_IN_USE} else MACHINE_SAID_NO


def _inventory(options: argparse.Namespace, output: Output) -> int:
    output.document(encode(_look_once(_machine(options))))
    return DONE


# --- deciding --------------------------------------------------------------------------------------------------------


def _plan(options: argparse.Namespace, output: Output) -> int:
    inventory, in_use = _look(_machine(options), output)
    resolution = _resolve(options, inventory)
    made = plan(inventory, resolution.desired, in_use)
    if options.json:
        output.document({"plan": encode(made), "rejected": encode(resolution.rejected)})
    elif made.steps or not (made.blocked or resolution.rejected):
        output.say(plan_text(made))
    _complain(output, made, resolution)
    return _status(made, resolution)


def _apply(options: argparse.Namespace, sysfs: Sysfs) -> int:
    return _carry_out(options, sysfs, lambda inventory: _resolve(options, inventory))


def _bind(options: argparse.Namespace, sysfs: Sysfs) -> int:
    originals = Journal(_journal(options)).originals()
    return _carry_out(options, sysfs, lambda inventory: bound(inventory, originals, options.address, options.driver))


def _restore(options: argparse.Namespace, sysfs: Sysfs) -> int:
    if (options.address is None) != options.all:
        raise UsageError("restore: name one ADDRESS, or --all for everything that was ever touched")
    originals = Journal(_journal(options)).originals()
    if options.all and not originals:
        _say(options, "nothing to do: nothing was ever touched")
    return _carry_out(options, sysfs, lambda inventory: restored(inventory, originals, options.address))


def _carry_out(options: argparse.Namespace, sysfs: Sysfs, decide: Callable[[Inventory], Resolution]) -> int:
    """Look, decide, plan, apply, look again; one process on this node at a time."""
    writer = Writer()
    machine = Machine(sysfs=sysfs, writer=writer, journal=Journal(_journal(options)), modules=Modprobe())
    try:
        with only_writer(_journal(options).parent):
            inventory, in_use = _look(sysfs)
            resolution = decide(inventory)
            made = plan(inventory, resolution.desired, in_use)
            report = apply(made, machine, lambda r: _say(options, _result(r)))
            mismatches = verify(resolution.desired, read_inventory(sysfs))
    finally:
        writer.close()
    if options.json:
        _print_json(
            {"report": encode(report), "rejected": encode(resolution.rejected), "mismatches": encode(mismatches)}
        )
    _complain((*resolution.rejected, *made.blocked))
    if any(result.outcome is not Outcome.DONE for result in report.results):
        held = {result.reason for result in report.results if result.outcome is Outcome.FAILED} == {Reason.VFS_IN_USE}
        return BLOCKED if held else MACHINE_SAID_NO
    if made.blocked or resolution.rejected:
        return _status(made, resolution)
    _complain(mismatches)
    return MACHINE_SAID_NO if mismatches else DONE


def _verify(options: argparse.Namespace, sysfs: Sysfs) -> int:
    inventory, _ = _look(sysfs)
    resolution = _resolve(options, inventory)
    mismatches = verify(resolution.desired, inventory)
    if options.json:
        _print_json({"mismatches": encode(mismatches), "rejected": encode(resolution.rejected)})
    else:
        wrong: tuple[Mismatch | Rejected, ...] = (*resolution.rejected, *mismatches)
        for why in wrong:
            print(_because(why))
        if not wrong:
            print("converged")
    if resolution.rejected and not resolution.desired.pfs:
        return NOTHING_MATCHES
    return MACHINE_SAID_NO if mismatches or resolution.rejected else DONE


def _because(why: Mismatch | Rejected | Blocked) -> str:
    return f"{why.reason}: {why.message}"


def _result(result: StepResult) -> str:
    reason = f"{result.reason}: " if result.outcome is Outcome.FAILED else ""
    return f"{result.outcome.value:<8} {reason}{result.message}"


def _look(sysfs: Sysfs) -> tuple[Inventory, InUse]:
    reader = Reader()
    try:
        inventory = read_inventory(sysfs, reader)
    finally:
        reader.close()
    return inventory, evidence(sysfs, inventory, name_processes=True)


def _resolve(options: argparse.Namespace, inventory: Inventory) -> Resolution:
    originals = Journal(_journal(options)).originals()
    return resolve(NodeConfig(policies=read_policies(options.file)), inventory, originals)


# --- doing -----------------------------------------------------------------------------------------------------------


def _apply(options: argparse.Namespace, output: Output) -> int:
    return _carry_out(options, output, lambda inventory: _resolve(options, inventory))


def _bind(options: argparse.Namespace, output: Output) -> int:
    originals = Journal(_journal(options)).originals()
    return _carry_out(options, output, lambda inventory: bound(inventory, originals, options.address, options.driver))


def _restore(options: argparse.Namespace, output: Output) -> int:
    if (options.address is None) != options.all:
        raise UsageError("restore: name one ADDRESS, or --all for everything that was ever touched")
    originals = Journal(_journal(options)).originals()
    idle = "it is so already" if originals else "nothing was ever touched"
    return _carry_out(options, output, lambda inventory: restored(inventory, originals, options.address), idle)


def _carry_out(
    options: argparse.Namespace,
    output: Output,
    decide: Callable[[Inventory], Resolution],
    idle: str = "it is so already",
) -> int:
    """Look, decide, plan, apply, look again; one process on this node at a time."""
    sysfs = _machine(options)
    _must_be_root(sysfs)
    machine = _hands(sysfs, options)
    try:
        with only_writer(_journal(options).parent), _asked_to_stop() as stopping:
            inventory = _look_once(sysfs)
            if (stuck := blocked_write(sysfs, inventory)) is not None:
                raise StuckError(f"nothing was written: {stuck.text}")
            in_use = evidence(sysfs, inventory, name_processes=True)
            resolution = decide(inventory)
            made = plan(inventory, resolution.desired, in_use)
            report = apply(made, machine, lambda r: output.say(outcome_line(r, output.paint)), stopping)
            mismatches = verify(resolution.desired, _look_once(sysfs))
    finally:
        machine.writer.close()
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
    return MACHINE_SAID_NO if mismatches else DONE


def _failure(report: Report) -> int:
    reasons = {result.reason for result in report.results if result.outcome is Outcome.FAILED}
    return BLOCKED if reasons == {Reason.VFS_IN_USE} else MACHINE_SAID_NO


def _complain(output: Output, made: Plan, resolution: Resolution) -> None:
    output.complain_of((refusal.reason, refusal.message) for refusal in resolution.rejected)
    output.complain_of((blocked.reason, blocked.message) for blocked in made.blocked)


def _status(made: Plan, resolution: Resolution) -> int:
    if made.blocked:
        return BLOCKED
    if resolution.rejected:
        return NOTHING_MATCHES if _nothing_matches(resolution) else MACHINE_SAID_NO
    return DONE


def _nothing_matches(resolution: Resolution) -> bool:
    reasons = {refusal.reason for refusal in resolution.rejected}
    return reasons == {Reason.NO_MATCHING_DEVICE} and not resolution.desired.pfs


@contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Ctrl-C, a lost terminal or TERM end the work before its next step, never inside one; a second one is obeyed."""
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
    root: Path = options.root
    sysfs = Sysfs(root / "sys", root / "dev", root / "proc")
    devices = sysfs.sys / "bus/pci/devices"
    if sysfs.names(devices) is None:
        raise UsageError(f"there is no {devices}: this machine has no PCI bus, or /sys is not mounted here")
    return sysfs


def _hands(sysfs: Sysfs, options: argparse.Namespace) -> Machine:
    """Everything a step may touch."""
    writer = Writer(functools.partial(who_blocks, sysfs))
    return Machine(sysfs=sysfs, writer=writer, journal=Journal(_journal(options)), modules=Modprobe())


def _must_be_root(sysfs: Sysfs) -> None:
    probe = sysfs.sys / "bus/pci/drivers_probe"
    if os.geteuid() and not os.access(probe, os.W_OK):
        raise HostError(f"{probe} may be written by root alone; run it as root")


def _look(sysfs: Sysfs, output: Output) -> tuple[Inventory, InUse]:
    """Looking goes on behind a blocked write of somebody; writing does not, it would queue."""
    inventory = _look_once(sysfs)
    _tell_of_blocked_write(sysfs, inventory, output)
    return inventory, evidence(sysfs, inventory, name_processes=True)


def _tell_of_blocked_write(sysfs: Sysfs, inventory: Inventory, output: Output) -> None:
    if (stuck := blocked_write(sysfs, inventory)) is not None:
        output.complain(stuck.text, Reason.STUCK)


def _look_once(sysfs: Sysfs) -> Inventory:
    reader = Reader()
    try:
        return read_inventory(sysfs, reader)
    finally:
        reader.close()


def _journal(options: argparse.Namespace) -> Path:
    path: Path = options.root / "var/lib/virtfn/journal.json"
    return path


def _policies(path: Path) -> list[PolicyConfig]:
    """The policies of a file, the one that claims first first."""
    found: list[tuple[int, int, PolicyConfig]] = []
    for document in _documents(path):
        name = str((document.get("metadata") or {}).get("name", path.stem))
        if document.get("kind") != "SriovPolicy":
            raise UsageError(f"{path}: want kind SriovPolicy, got {document.get('kind')!r}")
        spec = document.get("spec")
        policy = policy_config(name=name, uid=name, generation=1, spec=spec if isinstance(spec, Mapping) else {})
        if isinstance(policy, Rejected):
            raise UsageError(f"{policy.reason}: {path}: {policy.message}")
        found.append((-int((spec or {}).get("priority", 0)), len(found), policy))
    return [policy for _, _, policy in sorted(found, key=lambda entry: entry[:2])]


def _documents(path: Path) -> list[dict[str, Any]]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    try:
        return _mappings(path, [json.loads(text)])
    except json.JSONDecodeError:
        pass  # Not JSON, so it has to be YAML.
    try:
        import yaml
    except ImportError as error:
        raise UsageError(
            f"{path}: reading YAML needs PyYAML (pip install 'virtfn[cli]'); JSON works without"
        ) from error
    try:
        return _mappings(path, list(yaml.safe_load_all(text)))
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: no YAML: {error}") from error


def _mappings(path: Path, documents: list[Any]) -> list[dict[str, Any]]:
    kept = [document for document in documents if document is not None]
    if not kept or not all(isinstance(document, dict) for document in kept):
        raise UsageError(f"{path}: want SriovPolicy objects")
    return kept


def _status(made: Plan, resolution: Resolution) -> int:
    if made.blocked:
        return BLOCKED
    if resolution.rejected:
        return MACHINE_SAID_NO if resolution.desired.pfs else NOTHING_MATCHES
    return DONE


def _print_plan(made: Plan, rejected: Sequence[Rejected], *, as_json: bool) -> None:
    if as_json:
        _print_json({"plan": encode(made), "rejected": encode(tuple(rejected))})
        return
    for step in made.steps:
        print(describe(step))
    if not made.steps and not made.blocked and not rejected:
        print("nothing to do")
    _complain((*rejected, *made.blocked))


def _complain(whys: Sequence[Mismatch | Rejected | Blocked]) -> None:
    for why in whys:
        print(f"virtfn: {_because(why)}", file=sys.stderr)


def _say(options: argparse.Namespace, text: str) -> None:
    if not options.json:
        print(text, flush=True)


def _address(text: str) -> PciAddress:
    try:
        return PciAddress.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="virtfn",
        description="SR-IOV virtual functions of this machine: see, plan, apply. One in use is never touched.",
        epilog=STATUSES,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON")
    common.add_argument("--root", type=Path, default=Path("/"), help="root of the machine: its sys, dev, proc, var")
    policy = argparse.ArgumentParser(add_help=False)
    policy.add_argument(
        "-f", "--file", type=Path, required=True, metavar="POLICY", help="SriovPolicy file, or - for stdin"
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, verb, parents, text in (
        ("list", _list, [common], "functions that can make VFs, their VFs, drivers, IOMMU groups and users"),
        ("explain", _explain, [common], "what one function is, and whether it can be passed through; if not, why not"),
        ("bind", _bind, [common], "give one VF to a driver, and look that it is there"),
        ("restore", _restore, [common], "give back what was touched, exactly as it was before"),
        ("inventory", _inventory, [common], "all that is known of them, as JSON, for a bug report"),
        ("plan", _plan, [common, policy], "what apply would do; writes nothing"),
        ("apply", _apply, [common, policy], "do it, step by step, and look whether it is so"),
        ("verify", _verify, [common, policy], "whether the machine is as the policies ask"),
    ):
        made = verbs.add_parser(name, parents=parents, help=text, description=text, epilog=STATUSES)
        made.set_defaults(verb=verb)
        if verb in (_bind, _explain):
            made.add_argument("address", type=_address, metavar="ADDRESS", help="PCI address, like 0000:3b:00.1")
        if verb is _bind:
            made.add_argument("--driver", default="vfio-pci", help="a vfio driver, or `kernel` (default: %(default)s)")
        if verb is _restore:
            made.add_argument("address", type=_address, metavar="ADDRESS", nargs="?", help="a PF, or one VF")
            made.add_argument("--all", action="store_true", help="everything that was ever touched")
    return parser


if __name__ == "__main__":
    main()
