"""Read fields of an untrusted document. Every refusal names the field and stays short, however large the value is.

A null is refused: a user who writes `vendor:` without a value meant to limit the policy, and reading it as "not
mentioned" would make the policy match more devices.
"""

import json
import re
from collections.abc import Mapping, Sequence

LIST_LIMIT = 64
"""Most entries of a list in a policy: matchers, pools, requirements."""

SHOWN_LIMIT = 60
"""Characters of a user's value that a message repeats."""


class PolicyError(ValueError):
    """The spec cannot be carried out as it stands; the message names the field."""


class TooLargeError(PolicyError):
    """The object is larger than one object may be."""


def shown(value: object) -> str:
    """Return a user's value for a message: short and printable. It never raises."""
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
    """Return the bytes of the value as JSON: the size of an object, before any of its fields is read.

    Raises:
        PolicyError: the value has no JSON form, or is nested too deeply.
    """
    try:
        return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    except (TypeError, ValueError, RecursionError) as error:
        raise PolicyError(f"{path}: cannot be read: {type(error).__name__}") from error


def read_object(value: object, path: str, known: tuple[str, ...]) -> Mapping[str, object]:
    """Return an object with no other fields than `known`, none of them null.

    Raises:
        PolicyError: the value is something else.
    """
    fields = read_mapping(value, path)
    for field, item in fields.items():
        if field not in known:
            raise PolicyError(f"{path}.{_name(field)}: unknown field; known are {', '.join(known)}")
        if item is None:
            raise PolicyError(f"{path}.{field}: is null; give it a value, or leave the field out")
    return fields


def read_mapping(value: object, path: str) -> Mapping[str, object]:
    """Return an object with any fields.

    Raises:
        PolicyError: the value is not an object.
    """
    if not isinstance(value, Mapping):
        raise PolicyError(f"{path}: {'is missing' if value is None else f'want an object, got {shown(value)}'}")
    return value


def _name(field: object) -> str:
    return field if isinstance(field, str) and field.isprintable() and len(field) <= SHOWN_LIMIT else shown(field)


def read_list(value: object, path: str, limit: int = LIST_LIMIT) -> Sequence[object]:
    """Return a list of at most `limit` entries.

    Raises:
        PolicyError: the value is not a list, or is longer.
    """
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise PolicyError(f"{path}: {'is missing' if value is None else f'want a list, got {shown(value)}'}")
    if len(value) > limit:
        raise PolicyError(f"{path}: at most {limit}, got {len(value)}")
    return value


def read_text(value: object, path: str, limit: int) -> str:
    """Return text of 1 to `limit` characters.

    Raises:
        PolicyError: the value is not text, or its length is out of range.
    """
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise PolicyError(f"{path}: {shown(value)} is not a text of 1 to {limit} characters")
    return value


def read_number(value: object, highest: int, path: str, what: str = "number", lowest: int = 0) -> int:
    """Return a whole number from `lowest` to `highest`; `what` names it in the message.

    Raises:
        PolicyError: the value is not a whole number, or is out of range.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise PolicyError(f"{path}: {shown(value)} is out of range; write a {what} from {lowest} to {highest}")
    return value


def read_switch(value: object, path: str) -> bool:
    """Return true or false.

    Raises:
        PolicyError: the value is neither.
    """
    if not isinstance(value, bool):
        raise PolicyError(f"{path}: {shown(value)} is not true or false")
    return value


def read_matching(value: object, pattern: re.Pattern[str], path: str, want: str) -> str:
    """Return text that the whole pattern matches, a pattern that limits the length; the message has `want`.

    Raises:
        PolicyError: the value is not text, or does not match.
    """
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise PolicyError(f"{path}: {shown(value)} is not {want}")
    return value
