"""Objects as YAML for people, with comments, as `virtfn import` prints them."""

import json
import re
from collections.abc import Iterable, Iterator

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*([./-][A-Za-z0-9_]+)*")
_OTHERWISE = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
"""Words that are no text for some reader of YAML."""
_BLOCK = re.compile(r"(?! )[ -~]*(\n[ -~]+)+")
"""Lines that may stand below each other as they are: ASCII, the first not indented, none empty."""
_ESCAPED = re.compile(r"[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")

WIDTH = 100


def yaml_text(value: object) -> str:
    """Return one document, without the line of dashes that separates documents."""
    return "\n".join(_lines(value))


def comment(text: str, *, first: str = "# ", other: str = "#   ") -> str:
    """Return text as comment lines, broken at blanks. What is not printable becomes `?`: it may not end a comment."""
    words = "".join(char if char.isprintable() else "?" for char in text).split(" ")
    lines, line = [], first
    for word in words:
        if len(line) + len(word) > WIDTH and line not in (first, other):
            lines.append(line.rstrip())
            line = other
        line += word + " "
    return "\n".join([*lines, line.rstrip()])


def commented(text: str) -> str:
    """Return every line of a text as a comment."""
    return "\n".join(f"# {line}" for line in text.split("\n"))


def _lines(value: object) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _entry(f"{_scalar(str(key))}:", item)
    elif isinstance(value, list) and value:
        for item in value:
            yield from _element(item)
    else:
        yield _scalar(value)


def _entry(head: str, item: object) -> Iterator[str]:
    """Yield a field: its value on the same line, or on lines below."""
    if isinstance(item, str) and _BLOCK.fullmatch(item):
        yield f"{head} |-"
        yield from _indented(item.split("\n"))
    elif isinstance(item, dict | list) and item:
        yield head
        yield from _lines(item) if isinstance(item, list) else _indented(_lines(item))
    else:
        yield f"{head} {_scalar(item)}"


def _element(item: object) -> Iterator[str]:
    """Yield an entry of a list, an object without inner ones in one line if it fits."""
    if isinstance(item, dict) and item and not any(isinstance(inner, dict | list) for inner in item.values()):
        line = ", ".join(f"{_scalar(str(key))}: {_scalar(inner)}" for key, inner in item.items())
        if len(line) < WIDTH:
            yield f"- {{{line}}}"
            return
    for n, line in enumerate(_lines(item)):
        yield f"  {line}" if n else f"- {line}"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _scalar(value: object) -> str:
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and value.lower() not in _OTHERWISE else _quoted(value)
    return json.dumps(value)


def _quoted(text: str) -> str:
    """Return text in double quotes: JSON's escapes are YAML's, but YAML escapes more characters."""
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))
