"""Colour is printed on terminals only, unless the user decides otherwise."""

import io

import pytest

from virtfn_host.cli.paint import Paint, When, paint_for


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


TERMINAL, FILE = Terminal(), io.StringIO()


@pytest.mark.parametrize(
    ("stream", "when", "environ", "on"),
    [
        (TERMINAL, When.AUTO, {"TERM": "xterm"}, True),
        (FILE, When.AUTO, {"TERM": "xterm"}, False),
        (TERMINAL, When.AUTO, {"TERM": "dumb"}, False),
        (TERMINAL, When.AUTO, {}, False),
        (TERMINAL, When.AUTO, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (TERMINAL, When.AUTO, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (FILE, When.ALWAYS, {"NO_COLOR": "1"}, True),
        (TERMINAL, When.NEVER, {"TERM": "xterm"}, False),
    ],
)
def test_who_gets_colour(stream: io.StringIO, when: When, environ: dict[str, str], on: bool) -> None:
    assert paint_for(stream, when, environ) == Paint(on)


def test_colour_is_closed_again_and_nothing_is_painted_when_it_is_off() -> None:
    assert Paint(True).bad("Stuck") == "\033[31mStuck\033[0m"
    assert Paint(True).bad("") == ""
    assert Paint(False).bad("Stuck") == "Stuck"
