"""`virtfn` on a node, as root, without a cluster: each verb is a hand step, as with lspci, modprobe and echo.

Wiring and printing only; the same pure functions and the same law as in the host process.
"""

import argparse
import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from virtfn_host.core.address import PciAddress
from virtfn_host.core.by_hand import bound, restored
from virtfn_host.core.codec import encode
from virtfn_host.core.explain import explain
from virtfn_host.core.model import InUse, Inventory, Mismatch, NodeConfig, PolicyConfig, Rejected
from virtfn_host.core.plan import plan
from virtfn_host.core.policy import policy_config
from virtfn_host.core.reasons import Reason
from virtfn_host.core.resolve import Resolution, resolve
from virtfn_host.core.steps import Outcome, Plan, describe
from virtfn_host.core.verify import verify
from virtfn_host.linux.apply import Machine, apply, only_writer
from virtfn_host.linux.custody import evidence, holders
from virtfn_host.linux.errors import HostError, StuckError
from virtfn_host.linux.holding import who_blocks
from virtfn_host.linux.inventory import read_inventory
from virtfn_host.linux.journal import Journal
from virtfn_host.linux.modules import Modprobe
from virtfn_host.linux.reader import Reader, patient
from virtfn_host.linux.stuck import blocked_write
from virtfn_host.linux.surroundings import read_function, read_surroundings
from virtfn_host.linux.sysfs import Sysfs
from virtfn_host.linux.writer import Writer
from virtfn_host.show import explanation, function_table

DONE, MACHINE_SAID_NO, USAGE, BLOCKED, NOTHING_MATCHES = 0, 1, 2, 3, 4
"""Exit statuses, as --help lists them."""

STATUSES = "exit status: 0 done, 1 the machine said no, 2 usage, 3 blocked by a holder, 4 nothing matches"


class UsageError(Exception):
    """The user must change what was typed; the message says how."""


def main() -> None:
    """Entry point of `virtfn`."""
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Exit status of a command line; never a traceback for what a user or a machine can do."""
    options = _parser().parse_args(words)
    root: Path = options.root
    sysfs = Sysfs(root / "sys", root / "dev", root / "proc")
    verb: Callable[[argparse.Namespace, Sysfs], int] = options.verb
    try:
        if not (sysfs.sys / "bus/pci").exists():
            raise UsageError(f"there is no {sysfs.sys / 'bus/pci'}: no PCI bus here, or /sys is not mounted")
        return verb(options, sysfs)
    except UsageError as error:
        print(f"virtfn: {error}", file=sys.stderr)
        return USAGE
    except HostError as error:
        print(f"virtfn: {error.reason}: {error}", file=sys.stderr)
        return BLOCKED if error.reason is Reason.VFS_IN_USE else MACHINE_SAID_NO
    except PermissionError as error:
        print(f"virtfn: {error.filename}: {error.strerror}; run it as root", file=sys.stderr)
        return MACHINE_SAID_NO


def _list(options: argparse.Namespace, sysfs: Sysfs) -> int:
    inventory, in_use = _look(sysfs)
    if options.json:
        _print_json({"inventory": encode(inventory), "inUse": encode(in_use)})
    elif inventory.pfs:
        print(function_table(inventory, in_use))
    if not inventory.pfs:
        print("virtfn: no function of this machine can make VFs (none has sriov_totalvfs)", file=sys.stderr)
        return NOTHING_MATCHES
    return DONE


def _explain(options: argparse.Namespace, sysfs: Sysfs) -> int:
    _mind_blocked_write(sysfs, _inventory_now(sysfs))
    with patient(sysfs) as asked:
        function = read_function(asked, options.address)
    if function is None:
        print(f"virtfn: {options.address} is not there; `virtfn list` shows functions that can be", file=sys.stderr)
        return NOTHING_MATCHES
    found = explain(function, read_surroundings(sysfs), holders(sysfs, options.address, name_processes=True))
    if options.json:
        _print_json(encode(found))
    else:
        print(explanation(found))
    if not found.hindrances:
        return DONE
    return BLOCKED if {h.reason for h in found.hindrances} == {Reason.VFS_IN_USE} else MACHINE_SAID_NO


def _inventory(_: argparse.Namespace, sysfs: Sysfs) -> int:
    _print_json(encode(_look(sysfs)[0]))
    return DONE


def _plan(options: argparse.Namespace, sysfs: Sysfs) -> int:
    inventory, in_use = _look(sysfs)
    resolution = _resolve(options, inventory)
    made = plan(inventory, resolution.desired, in_use)
    _print_plan(made, resolution.rejected, as_json=options.json)
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
    writer = Writer(functools.partial(who_blocks, sysfs))
    machine = Machine(sysfs=sysfs, writer=writer, journal=Journal(_journal(options)), modules=Modprobe())
    try:
        with only_writer(_journal(options).parent):
            inventory, in_use = _look(sysfs, to_write=True)
            resolution = decide(inventory)
            made = plan(inventory, resolution.desired, in_use)
            report = apply(made, machine, lambda r: _say(options, f"{r.outcome.value:<8} {r.message}"))
            mismatches = verify(resolution.desired, _inventory_now(sysfs))
    finally:
        writer.close()
    if options.json:
        _print_json(
            {"report": encode(report), "rejected": encode(resolution.rejected), "mismatches": encode(mismatches)}
        )
    _complain([*(r.message for r in resolution.rejected), *(f"{b.reason}: {b.message}" for b in made.blocked)])
    if any(result.outcome is not Outcome.DONE for result in report.results):
        held = {result.reason for result in report.results if result.outcome is Outcome.FAILED} == {Reason.VFS_IN_USE}
        return BLOCKED if held else MACHINE_SAID_NO
    if made.blocked or resolution.rejected:
        return _status(made, resolution)
    _complain([mismatch.message for mismatch in mismatches])
    return MACHINE_SAID_NO if mismatches else DONE


def _verify(options: argparse.Namespace, sysfs: Sysfs) -> int:
    inventory, _ = _look(sysfs)
    resolution = _resolve(options, inventory)
    mismatches = verify(resolution.desired, inventory)
    if options.json:
        _print_json({"mismatches": encode(mismatches), "rejected": encode(resolution.rejected)})
    else:
        for text in [*(r.message for r in resolution.rejected), *map(_mismatch, mismatches)] or ["converged"]:
            print(text)
    if resolution.rejected and not resolution.desired.pfs:
        return NOTHING_MATCHES
    return MACHINE_SAID_NO if mismatches or resolution.rejected else DONE


def _mismatch(mismatch: Mismatch) -> str:
    return f"{mismatch.reason}: {mismatch.message}"


def _look(sysfs: Sysfs, *, to_write: bool = False) -> tuple[Inventory, InUse]:
    """Looking goes on behind a blocked write of somebody; writing does not, it would queue.

    Raises:
        StuckError: a write of somebody is blocked, and this look is there to write.
    """
    inventory = _inventory_now(sysfs)
    _mind_blocked_write(sysfs, inventory, to_write=to_write)
    return inventory, evidence(sysfs, inventory, name_processes=True)


def _mind_blocked_write(sysfs: Sysfs, inventory: Inventory, *, to_write: bool = False) -> None:
    if (stuck := blocked_write(sysfs, inventory)) is None:
        return
    if to_write:
        raise StuckError(f"nothing was written: {stuck.text}")
    _complain([f"{Reason.STUCK}: {stuck.text}"])


def _inventory_now(sysfs: Sysfs) -> Inventory:
    reader = Reader()
    try:
        return read_inventory(sysfs, reader)
    finally:
        reader.close()


def _resolve(options: argparse.Namespace, inventory: Inventory) -> Resolution:
    originals = Journal(_journal(options)).originals()
    return resolve(NodeConfig(policies=tuple(_policies(options.file))), inventory, originals)


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
            raise UsageError(f"{path}: {policy.message}")
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
    _complain([*(r.message for r in rejected), *(f"{b.reason}: {b.message}" for b in made.blocked)])


def _complain(texts: Sequence[str]) -> None:
    for text in texts:
        print(f"virtfn: {text}", file=sys.stderr)


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
