"""The reference has every verb and argument of a parser, in words that do not depend on the version of Python."""

import argparse

import pytest

from virtfn_release.reference.commands import commands_page, usage, verbs


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="tool", description="Do it.", epilog="exit status:\n  0  done\n")
    added = whole.add_subparsers(required=True)
    for name in ("show", "take"):
        made = added.add_parser(name, description=f"{name.title()} it.\n\nAt length <here>.")
        made.epilog = f"exit status:\n  0  done\n  For {name}, 1 means: no.\n\nexamples:\n  tool {name} a\n\n  tool b"
        made.add_argument("--json", action="store_true", help="as JSON")
        made.add_argument("what", metavar="WHAT", help="the thing")
    made.add_argument("-f", "--file", required=True, metavar="FILE", help="a file")
    made.add_argument("--how", choices=("fast", "slow"), help="the way")
    made.add_argument("more", metavar="MORE", nargs="*", help="others")
    done = added.add_parser("completion", description="Complete it.")
    done.add_argument("shell", choices=("bash", "zsh"), help="which")
    deeper = added.add_parser("roll", description="Roll it.").add_subparsers(required=True)
    deeper.add_parser("on", description="Roll on.").add_argument("--json", action="store_true", help="as JSON")
    return whole


@pytest.mark.parametrize(
    ("verb", "line"),
    [
        ("show", "tool show WHAT [--json]"),
        ("take", "tool take WHAT [MORE ...] [--json] --file FILE [--how fast|slow]"),
        ("completion", "tool completion bash|zsh"),
    ],
)
def test_the_usage_of_a_verb(verb: str, line: str) -> None:
    assert usage(verbs(parser())[verb]) == line


@pytest.mark.parametrize(
    "line",
    [
        "| [`show`](#tool-show) | Show it |",
        "### tool take",
        "| `-f FILE`, `--file FILE` | a file |",
        "| `--how fast|slow` | the way |".replace("fast|slow", "fast\\|slow"),
        "At length &lt;here>.",
        "    For take, 1 means: no.",
        "    tool b",
        "### tool roll on",
    ],
)
def test_a_line_of_the_page(line: str) -> None:
    assert line in commands_page([parser()]).splitlines()


def test_exit_statuses_of_the_whole_command_stand_once() -> None:
    assert commands_page([parser()]).count("    0  done") == 1
