"""The page of the commands, from the parsers of `virtfn` and `kubectl virtfn`.

Usage lines are written here and not by argparse, whose form differs between versions of Python.
"""

import argparse
import re
from collections import Counter
from collections.abc import Collection, Iterator

from virtfn_release.reference.layout import code, indented, page, plain, table

SOURCE = "the parsers of both commands"
Verbs = dict[str, argparse.ArgumentParser]
Row = tuple[str, str]
"""An argument as it is written, and what it means."""


def commands_page(parsers: list[argparse.ArgumentParser]) -> str:
    """Return the page of some commands; each parser is that of a whole command, with verbs."""
    intro = "`COMMAND --help` and `COMMAND VERB --help` print the same."
    return page("Commands", SOURCE, intro, *(part for parser in parsers for part in _command(parser)))


def verbs(parser: argparse.ArgumentParser) -> Verbs:
    """Return the verbs of a command, or of a verb; none if it has none."""
    for action in _actions(parser):
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 (it has no public name)
            return dict(action.choices)
    return {}


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 (argparse has no public list of arguments; shtab reads the same)


def _command(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## {parser.prog}"
    yield from _prose(parser.description or "")
    below = verbs(parser)
    yield table(
        ("Verb", "What it does"), [(f"[`{name}`](#{_anchor(verb)})", _line(verb)) for name, verb in below.items()]
    )
    common = _common(below)
    yield "Options of every verb but `completion`:"
    yield table(("Option", "Meaning"), common)
    statuses = dict(_sections(parser)).get("exit status:", "")
    yield from _epilog(parser, "")
    for verb in below.values():
        yield from _verb(verb, common, statuses)


def _verb(parser: argparse.ArgumentParser, common: list[Row], statuses: str) -> Iterator[str]:
    yield f"### {parser.prog}"
    yield from _prose(parser.description or "")
    yield indented(usage(parser, common))
    yield table(("Argument", "Meaning"), [row for row in map(_row, _shown(parser)) if row not in common])
    yield from _epilog(parser, statuses)
    for verb in verbs(parser).values():
        yield from _verb(verb, common, statuses)


def _common(verbs_of: Verbs) -> list[Row]:
    """Return the options that all verbs have but one: `completion` has none of them."""
    seen = Counter(_row(action) for verb in verbs_of.values() for action in _shown(verb) if action.option_strings)
    return [row for row, times in seen.items() if times >= len(verbs_of) - 1]


def usage(parser: argparse.ArgumentParser, common: Collection[Row] = ()) -> str:
    """Return a verb with its arguments, without common ones; what may be left out stands in brackets."""
    words = [parser.prog]
    for action in _shown(parser):
        if _row(action) in common:
            continue
        name = f"{action.option_strings[-1]} {_value(action)}".strip() if action.option_strings else _value(action)
        if action.nargs in ("*", "+"):
            name += " ..."
        needed = action.required and action.nargs not in ("*", "?")
        words.append(name if needed else f"[{name}]")
    return " ".join(words)


def _row(action: argparse.Action) -> Row:
    return _names(action), action.help or ""


def _shown(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the arguments: positional ones first, and neither --help nor verbs."""
    hidden = (argparse._HelpAction, argparse._SubParsersAction)  # noqa: SLF001
    found = [it for it in _actions(parser) if not isinstance(it, hidden) and it.help != argparse.SUPPRESS]
    return sorted(found, key=lambda action: bool(action.option_strings))


def _names(action: argparse.Action) -> str:
    value = _value(action)
    if not action.option_strings:
        return code(value)
    return ", ".join(code(f"{name} {value}".strip()) for name in action.option_strings)


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.metavar:
        return str(action.metavar)
    choices = "|".join(str(choice) for choice in action.choices or ())
    return choices or (action.dest.upper() if action.option_strings else action.dest)


def _line(parser: argparse.ArgumentParser) -> str:
    return (parser.description or "").partition("\n")[0].rstrip(".")


def _anchor(parser: argparse.ArgumentParser) -> str:
    return parser.prog.replace(" ", "-")


def _epilog(parser: argparse.ArgumentParser, statuses: str) -> Iterator[str]:
    """Yield the sections below the options, without the exit statuses that the whole command has."""
    for title, text in _sections(parser):
        own = text.removeprefix(statuses).strip("\n") if title == "exit status:" else text
        if title and own:
            yield f"*{title[0].upper()}{title[1:]}*"
            yield indented(own)
        elif own:
            yield from _prose(own)


def _sections(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Yield title and text of each section: a line that ends with a colon, and what is indented below it."""
    for section in re.split(r"\n\n(?=\S)", (parser.epilog or "").strip("\n")):
        title, _, text = section.partition("\n")
        if title.endswith(":") and text.startswith("  "):
            yield title, "\n".join(line.removeprefix("  ") for line in text.splitlines())
        else:
            yield "", section


def _prose(text: str) -> Iterator[str]:
    """Yield paragraphs; one that is a list in columns stays as it is."""
    for paragraph in text.strip("\n").split("\n\n"):
        columns = re.search(r"^ +\S|\S {2,}\S", paragraph, re.MULTILINE)
        yield indented(paragraph) if columns else plain(paragraph)
