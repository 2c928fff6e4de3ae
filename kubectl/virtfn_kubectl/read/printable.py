"""Characters that no text of others may bring into a terminal, a report or a picture.

Line ends and tabs may stay. Taken out are Unicode's control and format characters (Cc, Cf), separators of lines and
paragraphs (Zl, Zp), halves of surrogate pairs (Cs) and noncharacters, which XML forbids. Some of them move the cursor,
some turn the direction of text, some do not show, so that two names look alike.
"""

import re

_ENDS = "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
"""The noncharacters at the end of every plane."""
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    f"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f{_ENDS}]"
)


def printable(text: str) -> str:
    """Return a text with every such character replaced."""
    return text if text.isprintable() else _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


def is_printable(text: str) -> bool:
    """Whether nothing of a text would be replaced."""
    return _UNFIT.search(text) is None
