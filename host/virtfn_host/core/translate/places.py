"""Places in a document, for messages: `resourceList[0].selectors`, and its line in JSON text."""

import json
import re
from collections.abc import Iterator

from virtfn_host.core.values.strict_json import DEPTH_LIMIT, CodecError

Place = tuple[str | int, ...]
"""Keys and indexes that lead to a value, from the document inwards."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,60}")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')


def named(place: Place) -> str:
    """Return `data["config.json"].resourceList[0]`; "" for the whole document."""
    text = "".join(_part(key) for key in place)
    return text.removeprefix(".")


def _part(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _PLAIN.fullmatch(key) else f"[{json.dumps(key[:60])}]"


def line_at(text: str, offset: int) -> int:
    """Return the line, counted from 1, of a character."""
    return text.count("\n", 0, offset) + 1


def line_of(text: str, place: Place) -> int:
    """Return the line of a value in JSON text, or of the innermost value around it that is there."""
    found = 0
    for at, offset in _values(text):
        if place[: len(at)] == at:
            found = offset
        if place == at:
            break
    return line_at(text, found)


def fault_line(text: str, error: CodecError) -> int | None:
    """Return the line of the fault for which `parse_json` refused a text; None where it is in no line."""
    position = getattr(error.__cause__, "pos", None)
    if isinstance(position, int):
        return line_at(text, position)
    return _line_of_depth(text) or _line_of_twice(text)


def _line_of_twice(text: str) -> int | None:
    """Return the line of the first key that its object in JSON text already has."""
    seen: set[Place] = set()
    for at, offset in _values(text):
        if at in seen:
            return line_at(text, offset)
        seen.add(at)
    return None


def _line_of_depth(text: str) -> int | None:
    """Return the line where JSON text has more levels than are read."""
    return next((line_at(text, offset) for at, offset in _values(text) if len(at) > DEPTH_LIMIT), None)


def _values(text: str) -> Iterator[tuple[Place, int]]:
    """Yield place and offset of each value, in order; that of a key for a field. It ends one level below the limit."""
    at: list[str | int] = []
    key = False
    began: int | None = None
    for token in _TOKEN.finditer(text):
        word = token[0]
        if key and word[0] == '"':
            at[-1], began = _unquoted(word), token.start()
        elif word == "," and at:
            at[-1] = at[-1] + 1 if isinstance(at[-1], int) else ""
            key = at[-1] == ""
        elif word == ":":
            key = False
        elif word in "]}":
            at, key = at[:-1], False
        else:
            yield tuple(at), token.start() if began is None else began
            began = None
            if word in "[{":
                at.append(0 if word == "[" else "")
                key = word == "{"
        if len(at) > DEPTH_LIMIT + 1:
            return


def _unquoted(word: str) -> str:
    try:
        return str(json.loads(word))
    except ValueError:
        return word
