"""Replaces what names one card by made-up values of the same form, for `virtfn inventory`: its output goes into public
bug reports. Pure.

Equal values stay equal, because they tell what is one card. It works on text, so that an address is found in the name
of a netdev (`enx525400123456`) or in an error, too. Zeros stay: they mean that none is set.
"""

import re
from typing import Any

_PAIR = "[0-9a-f]{2}"
_NAMING = re.compile(
    # A MAC or GUID, also of 20 bytes as IPoIB has it, or a serial number.
    rf"(?<![0-9a-z])(?:{_PAIR}(?::{_PAIR}){{5,19}}|{_PAIR}(?:-{_PAIR}){{7}})(?![0-9a-z])"
    # A MAC or GUID in a name that udev made of it.
    r"|(?<=x)(?:[0-9a-f]{40}|[0-9a-f]{16}|[0-9a-f]{12})(?![0-9a-f])",
    re.IGNORECASE,
)


def made_up(document: Any) -> Any:
    """Return a JSON value with every serial number, MAC and GUID replaced."""
    return _replaced(document, {})


def _replaced(value: Any, known: dict[str, str]) -> Any:
    match value:
        case str():
            return _NAMING.sub(lambda found: _instead(found[0], known), value)
        case list():
            return [_replaced(item, known) for item in value]
        case dict():
            return {key: _replaced(item, known) for key, item in value.items()}
    return value


def _instead(text: str, known: dict[str, str]) -> str:
    """Return the text with other digits: a local address, numbered in the order of the document."""
    digits = re.sub("[:-]", "", text).lower()
    if not digits.strip("0"):
        return text
    new = iter(known.setdefault(digits, f"02{len(known) + 1:0{len(digits) - 2}x}"))
    return "".join(sign if sign in ":-" else next(new) for sign in text)
