"""Colour for terminals. Pad text before you paint it: colour codes would count as width.

`--color` decides; with `auto`, a terminal gets colour unless NO_COLOR (https://no-color.org) or TERM=dumb is set.
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
    """Adds colour to text, or returns it unchanged if `on` is false."""

    on: bool

    def head(self, text: str) -> str:
        """Paint a heading."""
        return self._in("1", text)

    def good(self, text: str) -> str:
        """Paint what works or is done."""
        return self._in("32", text)

    def bad(self, text: str) -> str:
        """Paint what failed or does not work."""
        return self._in("31", text)

    def held(self, text: str) -> str:
        """Paint what is in use, or waits for a use to end."""
        return self._in("33", text)

    def _in(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.on and text else text


PLAIN = Paint(False)


def paint_for(stream: TextIO, when: When, environ: Mapping[str, str]) -> Paint:
    """Return the paint for a stream: with colour or without."""
    if when is not When.AUTO:
        return Paint(when is When.ALWAYS)
    return Paint(not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb" and stream.isatty())
