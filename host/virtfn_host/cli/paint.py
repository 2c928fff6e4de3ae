"""Colour for terminals: who asks for it, who forbids it. Widths are the caller's: paint what is padded already.

`--color` decides; with `auto`, a terminal gets colour unless NO_COLOR (https://no-color.org) or TERM=dumb say no.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO


class When(StrEnum):
    """The values of `--color`."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Paint:
    """Words with a colour, or as they are."""

    on: bool

    def head(self, text: str) -> str:
        """A heading."""
        return self._in("1", text)

    def good(self, text: str) -> str:
        """It works, it is done."""
        return self._in("32", text)

    def bad(self, text: str) -> str:
        """It does not work, it failed."""
        return self._in("31", text)

    def held(self, text: str) -> str:
        """Somebody has it."""
        return self._in("33", text)

    def _in(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.on and text else text


PLAIN = Paint(False)


def paint_for(stream: TextIO, when: When, environ: Mapping[str, str]) -> Paint:
    """Whether what goes to this stream is coloured."""
    if when is not When.AUTO:
        return Paint(when is When.ALWAYS)
    return Paint(not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb" and stream.isatty())
