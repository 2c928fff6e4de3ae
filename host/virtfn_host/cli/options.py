"""The command line of `virtfn`: verbs, options, exit statuses. The help's longer texts are in `help.py`."""

import argparse
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from virtfn_host.cli.completion import ADDRESSES, DRIVERS, FILES, FOLDERS, SHELLS, complete_with
from virtfn_host.cli.help import COMMAND, COMMAND_EPILOG, PROSE
from virtfn_host.cli.paint import When
from virtfn_host.core.values.address import PciAddress

DONE, REFUSED, USAGE, BLOCKED, NOTHING_MATCHES, INTERRUPTED = 0, 1, 2, 3, 4, 130
"""Exit statuses, as --help lists them."""


def command(verbs: Mapping[str, Callable[..., int]]) -> argparse.ArgumentParser:
    """Return the parser of the whole command; its result has the verb's function as `verb`."""
    parser = argparse.ArgumentParser(
        prog="virtfn", description=COMMAND, epilog=COMMAND_EPILOG, formatter_class=_Help, allow_abbrev=False
    )
    parser.add_argument("-V", "--version", action=_Version, nargs=0, help="print the version and exit")
    added = parser.add_subparsers(required=True, metavar="VERB", title="verbs")
    for name, verb in verbs.items():
        prose = PROSE[name]
        made = added.add_parser(
            name,
            help=prose.line,
            description=prose.whole_description,
            epilog=prose.epilog,
            formatter_class=_Help,
            allow_abbrev=False,
        )
        _OF_VERB[name](made)
        if name != "completion":
            _common(made)
        made.set_defaults(verb=verb)
    return parser


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help with line breaks as written, and options beside their explanation."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=min(100, shutil.get_terminal_size().columns))


class _Version(argparse.Action):
    """Looks the version up only on demand: that takes longer than to parse the command line."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"virtfn {version('virtfn')}")
        parser.exit()


def _common(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="print one JSON document instead of text, also on failure")
    verb.add_argument(
        "--color",
        type=When,
        choices=tuple(When),
        default=When.AUTO,
        metavar="WHEN",
        help="auto (default: on a terminal, unless NO_COLOR or TERM=dumb is set), always or never",
    )
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
        "-v", "--verbose", action="store_true", help="add a column with the names of class, vendor and device"
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


def _completion(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    verb.set_defaults(json=False, color=When.NEVER)


_OF_VERB: Mapping[str, Callable[[argparse.ArgumentParser], None]] = {
    "list": _list,
    "explain": _explain,
    "bind": _bind,
    "restore": _restore,
    "plan": _policy,
    "apply": _policy,
    "verify": _policy,
    "inventory": _inventory,
    "completion": _completion,
}


def _address(verb: argparse.ArgumentParser, name: str, *, text: str, nargs: str | None = None) -> None:
    complete_with(verb.add_argument(name, type=_parsed, metavar="ADDRESS", nargs=nargs, help=text), ADDRESSES)


def _parsed(text: str) -> PciAddress:
    """Parse an address as people type it; without a domain, the domain is 0000, the only one of most machines."""
    try:
        return PciAddress.parse(text if text.count(":") != 1 else f"0000:{text}")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
