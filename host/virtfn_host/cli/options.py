"""The command line of `virtfn`: verbs, options, exit statuses. The help's longer texts are in `help.py`."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from virtfn_host.cli.completion import ADDRESSES, DRIVERS, FOLDERS
from virtfn_host.cli.help import COMMAND, COMMAND_EPILOG, PROSE, STATUSES
from virtfn_host.cli.parser import FILES, Add, Command, add_shell, address, complete_with, parser_of

DONE, REFUSED, USAGE, BLOCKED, NOTHING_MATCHES, INTERRUPTED = 0, 1, 2, 3, 4, 130
"""Exit statuses, as --help lists them."""

LONGEST = 3600.0
"""Most seconds that a boot may be told to take: the kubelet waits for it."""


def command(verbs: Mapping[str, Callable[..., int]]) -> argparse.ArgumentParser:
    """Return the parser of the whole command; its result has the verb's function as `verb`."""
    return parser_of(
        Command(
            program="virtfn",
            description=COMMAND,
            epilog=COMMAND_EPILOG,
            statuses=STATUSES,
            prose=PROSE,
            options=_OF_VERB,
            common=_root,
        ),
        verbs,
    )


def _root(verb: argparse.ArgumentParser) -> None:
    complete_with(
        verb.add_argument(
            "--root",
            type=Path,
            default=Path("/"),
            metavar="DIR",
            help="use sys, dev, proc, lib/modules and var/lib/virtfn below DIR (default: /)",
        ),
        FOLDERS,
    )


def _list(verb: argparse.ArgumentParser) -> None:
    _address(verb, "addresses", nargs="*", text="show only these; a PF includes its VFs")
    verb.add_argument("-a", "--all", action="store_true", help="also show functions that can only be handed out whole")
    verb.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="add columns with what stays when names and addresses move, and with the names of class and device",
    )


def _explain(verb: argparse.ArgumentParser) -> None:
    _address(verb, "address", text="PCI address, such as 0000:3b:00.1")


def _bind(verb: argparse.ArgumentParser) -> None:
    _address(verb, "address", text="PCI address of a VF or a whole function, such as 0000:3b:00.1")
    complete_with(
        verb.add_argument(
            "--driver",
            default="vfio-pci",
            metavar="NAME",
            help="vfio-pci (default), a variant that `virtfn explain` lists, or kernel: the one that the kernel picks",
        ),
        DRIVERS,
    )


def _restore(verb: argparse.ArgumentParser) -> None:
    _address(verb, "address", nargs="?", text="PCI address of a PF (with all its VFs), one VF, or a whole function")
    verb.add_argument("--all", action="store_true", help="everything that virtfn has changed")


def _policy(verb: argparse.ArgumentParser) -> None:
    complete_with(
        verb.add_argument(
            "-f",
            "--file",
            type=Path,
            required=True,
            metavar="POLICY",
            help="file with every SriovPolicy for this machine, YAML or JSON; - is standard input",
        ),
        FILES,
    )


def _inventory(_: argparse.ArgumentParser) -> None:
    """Add no option of its own."""


def _boot(verb: argparse.ArgumentParser) -> None:
    for name, default, text in (
        ("--wait", 20.0, "for PFs that are not there yet, or without their driver"),
        ("--within", 300.0, "for everything; then no further step begins"),
    ):
        verb.add_argument(
            name, type=_seconds, default=default, metavar="SECONDS", help=f"seconds {text} (default: {default:.0f})"
        )
    verb.add_argument(
        "--as-unit", action="store_true", help="for the unit of the chart: remove it if virtfn was uninstalled"
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST:  # also refuses NaN
        raise argparse.ArgumentTypeError(f"{text!r} is out of range (0 to {LONGEST:.0f} seconds)")
    return seconds


def _import(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("tool", choices=("sriovdp", "sno"), metavar="TOOL", help="what wrote the file: sriovdp or sno")
    complete_with(
        verb.add_argument(
            "file", type=Path, metavar="FILE", help="its configuration, YAML or JSON; - is standard input"
        ),
        FILES,
    )
    verb.add_argument(
        "--resource-prefix",
        metavar="DOMAIN",
        help="domain of resource names without one (default: intel.com for sriovdp, openshift.io for sno)",
    )


_OF_VERB: Mapping[str, Add] = {
    "list": _list,
    "explain": _explain,
    "bind": _bind,
    "restore": _restore,
    "plan": _policy,
    "apply": _policy,
    "verify": _policy,
    "inventory": _inventory,
    "boot": _boot,
    "import": _import,
    "completion": add_shell,
}


def _address(verb: argparse.ArgumentParser, name: str, *, text: str, nargs: str | None = None) -> None:
    complete_with(verb.add_argument(name, type=address, metavar="ADDRESS", nargs=nargs, help=text), ADDRESSES)
