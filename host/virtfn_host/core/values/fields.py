"""Reads fields of a document that nobody vouches for. Every refusal names the field and is short, whatever is there.

A null is refused wherever a value may stand: who writes `vendor:` and nothing behind it meant something, and to take it
for "not mentioned" would widen what the policy is about.
"""

import json
import re
from collections.abc import Mapping, Sequence

LIST_LIMIT = 64
"""Entries of a list in a policy: matchers, pools, requirements."""

SHOWN_LIMIT = 60
"""Characters of a foreign value that a message repeats."""


class PolicyError(ValueError):
    """The spec cannot be carried out as it stands; the message names the field."""


class TooLargeError(PolicyError):
    """The object costs more than one object may."""


def shown(value: object) -> str:
    """A foreign value as a message repeats it: short, printable, and never an exception itself."""
    match value:
        case str():
            return repr(value if len(value) <= SHOWN_LIMIT else f"{value[:SHOWN_LIMIT]}…")
        case bool() | None | float():
            return repr(value)
        case int():  # Python refuses to print one of more than 4,300 digits
            return repr(value) if value.bit_length() <= 64 else "a number of more than 64 bits"
        case Mapping():
            return f"an object of {len(value)} fields"
        case Sequence():
            return f"a list of {len(value)}"
        case _:
            return f"a {type(value).__name__}"


def weight(value: object, path: str) -> int:
    """Bytes of the value as JSON: what an object costs to read, before anything of it is read.

    Raises:
        PolicyError: it is nothing that JSON has, or nested too deeply.
    """
    try:
        return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    except (TypeError, ValueError, RecursionError) as error:
        raise PolicyError(f"{path}: cannot be read: {type(error).__name__}") from error


def read_object(value: object, path: str, known: tuple[str, ...]) -> Mapping[str, object]:
    """An object with no other fields than `known`, none of them null.

    Raises:
        PolicyError: it is none.
    """
    fields = read_mapping(value, path)
    for field, item in fields.items():
        if field not in known:
            raise PolicyError(f"{path}.{_name(field)}: unknown field; known are {', '.join(known)}")
        if item is None:
            raise PolicyError(f"{path}.{field}: is null; give it a value, or leave the field out")
    return fields


def read_mapping(value: object, path: str) -> Mapping[str, object]:
    """An object, whatever its fields.

    Raises:
        PolicyError: it is none.
    """
    if not isinstance(value, Mapping):
        raise PolicyError(f"{path}: {'is missing' if value is None else f'want an object, got {shown(value)}'}")
    return value


def _name(field: object) -> str:
    return field if isinstance(field, str) and field.isprintable() and len(field) <= SHOWN_LIMIT else shown(field)


def read_list(value: object, path: str, limit: int = LIST_LIMIT) -> Sequence[object]:
    """A list of at most `limit` entries.

    Raises:
        PolicyError: it is none, or longer.
    """
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise PolicyError(f"{path}: {'is missing' if value is None else f'want a list, got {shown(value)}'}")
    if len(value) > limit:
        raise PolicyError(f"{path}: at most {limit}, got {len(value)}")
    return value


def read_text(value: object, path: str, limit: int) -> str:
    """Text of 1 to `limit` characters.

    Raises:
        PolicyError: it is none.
    """
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise PolicyError(f"{path}: {shown(value)} is no text of 1 to {limit} characters")
    return value


def read_number(value: object, highest: int, path: str, what: str = "number", lowest: int = 0) -> int:
    """A whole number from `lowest` to `highest`.

    Raises:
        PolicyError: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise PolicyError(f"{path}: {shown(value)} is no {what} from {lowest} to {highest}")
    return value


def read_switch(value: object, path: str) -> bool:
    """true or false.

    Raises:
        PolicyError: it is neither.
    """
    if not isinstance(value, bool):
        raise PolicyError(f"{path}: {shown(value)} is neither true nor false")
    return value


def read_matching(value: object, pattern: re.Pattern[str], path: str, want: str) -> str:
    """Text that the pattern, which bounds its length, matches as a whole.

    Raises:
        PolicyError: it does not.
    """
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise PolicyError(f"{path}: {shown(value)} is not {want}")
    return value
