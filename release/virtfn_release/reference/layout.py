"""How a generated page looks: its first lines, and tables whose cells cannot break them."""

import re
from collections.abc import Iterable, Sequence
from textwrap import dedent

_CODE = re.compile(r"(`[^`]*`)")


def page(title: str, source: str, *parts: str) -> str:
    """Return a page; `source` says what it is made from."""
    head = f"<!-- Generated from {source} by `make reference`; edit those instead. -->\n# {title}"
    return "\n\n".join(part.strip("\n") for part in (head, *parts) if part.strip()) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, or nothing if there are no rows."""
    lines = [f"| {' | '.join(cell(text) for text in row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(header)} |", "|---" * len(header) + "|", *lines]) if lines else ""


def cell(text: str) -> str:
    """Return a text for a cell of a table: one line, and no bar that ends the cell."""
    return plain(text).replace("|", "\\|")


def plain(text: str) -> str:
    """Return a text as one line in which `<word>` is no HTML and `*` no emphasis, except in code."""
    parts = _CODE.split(" ".join(text.split()))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;").replace("*", "\\*") for part in parts)


def code(text: str) -> str:
    """Return a text as code within a line; nothing for no text."""
    return f"`{text}`" if text else ""


def indented(text: str) -> str:
    """Return a text as a code block."""
    return "\n".join(f"    {line}".rstrip() for line in dedent(text.strip("\n")).splitlines())
