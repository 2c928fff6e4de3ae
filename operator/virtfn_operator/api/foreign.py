"""Reads what somebody else wrote into an object, value by value: what is not what it should be is as if it were absent.

For statuses, which any version of virtfn, and whoever stole a token, may have written. A spec is read strictly
instead (`core/turn/policy.py`): there, absent and unreadable must not be the same.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any

ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Everything that reading a foreign value can raise, for the last line of defence around one object."""

TEXT_LIMIT = 4096
"""Characters kept of a foreign text."""

_HIGHEST = 2**63 - 1


def mapping(value: object) -> Mapping[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def entries(value: object, most: int) -> tuple[Mapping[str, Any], ...]:
    """The first objects of a list; what is no object is left out."""
    if not isinstance(value, list | tuple):
        return ()
    return tuple(item for item in islice(value, most) if isinstance(item, Mapping))


def text(value: object, most: int = TEXT_LIMIT) -> str:
    """The text, or an empty one."""
    return value[:most] if isinstance(value, str) else ""


def optional_text(value: object, most: int = TEXT_LIMIT) -> str | None:
    """The text, or None."""
    return value[:most] if isinstance(value, str) else None


def number(value: object) -> int | None:
    """A whole number that is not negative and fits 63 bits, or None."""
    return value if type(value) is int and 0 <= value <= _HIGHEST else None
