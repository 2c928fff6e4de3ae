"""Reads untrusted objects value by value; a value of the wrong type counts as absent.

Used for statuses: any version of virtfn may have written them, or an attacker with a stolen token. A spec is read
strictly instead (`core/turn/policy.py`): there, absent and unreadable must not be the same.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any

ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Everything that reading an untrusted value can raise, for the last `except` around one object."""

TEXT_LIMIT = 4096
"""Characters kept of an untrusted text."""

_HIGHEST = 2**63 - 1


def mapping(value: object) -> Mapping[str, Any]:
    """Return the JSON object, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def entries(value: object, most: int) -> tuple[Mapping[str, Any], ...]:
    """Return the JSON objects among the first `most` entries of a list."""
    if not isinstance(value, list | tuple):
        return ()
    return tuple(item for item in islice(value, most) if isinstance(item, Mapping))


def text(value: object, most: int = TEXT_LIMIT) -> str:
    """Return the text, or an empty one."""
    return value[:most] if isinstance(value, str) else ""


def optional_text(value: object, most: int = TEXT_LIMIT) -> str | None:
    """Return the text, or None."""
    return value[:most] if isinstance(value, str) else None


def number(value: object) -> int | None:
    """Return the number if it is an integer from 0 that fits 63 bits, else None."""
    return value if type(value) is int and 0 <= value <= _HIGHEST else None
