"""What the parsers of `virtfn` and `kubectl virtfn` have in common."""

import argparse
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from virtfn_host.cli.paint import When
from virtfn_host.cli.prose import Prose
from virtfn_host.core.values.address import PciAddress

SHELLS = ("bash", "zsh", "fish")
FILES = {"bash": "_virtfn_files", "zsh": "_files", "fish": "(__fish_complete_path (commandline -ct))"}

Add = Callable[[argparse.ArgumentParser], None]
"""Adds options to the parser of a verb."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command with verbs."""

    program: str
    description: str
    epilog: str
    statuses: str
    """Exit statuses of every verb, for its help."""
    prose: Mapping[str, Prose]
    """The help of each verb."""
    options: Mapping[str, Add]
    """The options of each verb."""
    common: Add
    """The options of every verb but `completion`, beside `--json` and `--color`."""


def parser_of(command: Command, verbs: Mapping[str, Callable[..., int]]) -> argparse.ArgumentParser:
    """Return the parser of the whole command; its result has the verb's function as `verb`."""
    parser = argparse.ArgumentParser(
        prog=command.program,
        description=command.description,
        epilog=command.epilog,
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.add_argument(
        "-V", "--version", action=_Version, nargs=0, const=command.program, help="print the version and exit"
    )
    added = parser.add_subparsers(required=True, metavar="VERB", title="verbs")
    for name, verb in verbs.items():
        prose = command.prose[name]
        made = added.add_parser(
            name,
            help=prose.line,
            description=prose.whole_description,
            epilog=prose.epilog(command.statuses),
            formatter_class=_Help,
            allow_abbrev=False,
        )
        command.options[name](made)
        if name != "completion":
            _for_every_verb(made)
            command.common(made)
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

        print(f"{self.const} {version('virtfn')}")
        parser.exit()


def _for_every_verb(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="print one JSON document instead of text, also on failure")
    verb.add_argument(
        "--color",
        type=When,
        choices=tuple(When),
        default=When.AUTO,
        metavar="WHEN",
        help="auto (default: on a terminal, unless NO_COLOR or TERM=dumb is set), always or never",
    )


def add_shell(verb: argparse.ArgumentParser) -> None:
    """Add the argument of `completion`."""
    verb.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    verb.set_defaults(json=False, color=When.NEVER)


def complete_with(action: argparse.Action, completes: dict[str, str]) -> argparse.Action:
    """Set how the shell completes an argument; shtab reads this attribute."""
    action.complete = completes  # type: ignore[attr-defined]
    return action


def address(text: str) -> PciAddress:
    """Parse an address as people type it; without a domain, the domain is 0000, the only one of most machines."""
    try:
        return PciAddress.parse(text if text.count(":") != 1 else f"0000:{text}")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
