"""Small pieces of text: tables, ages, stands in colour, long messages in lines."""

import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime

from virtfn_host.cli.paint import PLAIN, Paint
from virtfn_kubectl.judge.verdict import Stand, Verdict

WIDTH = 100
"""Columns of text that is not a table."""

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def table(rows: Sequence[tuple[str, ...]], paint: Paint = PLAIN) -> list[str]:
    """Return the lines of a table; the first row is its head."""
    cells = [tuple(" ".join(cell.split()) or "-" for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return [paint.head(lines[0]), *lines[1:]]


def painted(stand: Stand, paint: Paint) -> str:
    """Return the word for a stand, in its colour."""
    match stand:
        case Stand.READY:
            return paint.good(stand)
        case Stand.CHANGING | Stand.BLOCKED | Stand.WITHOUT_DEVICE:
            return paint.held(stand)
    return paint.bad(stand)


def stand_text(verdict: Verdict) -> str:
    """Return stand and reason: `Blocked: VfsInUse`; a reason that says the same is left out."""
    same = verdict.reason in ("", "Converged", verdict.stand)
    return str(verdict.stand) if same else f"{verdict.stand}: {verdict.reason}"


def since_text(since: str, now: datetime) -> str:
    """Return since when, and how long that is; an empty text where it is not known."""
    try:
        then = datetime.fromisoformat(since)
        seconds = (now - then.replace(tzinfo=then.tzinfo or UTC)).total_seconds()
    except (ValueError, OverflowError):
        return ""
    return f"since {since}" + (f" ({age_text(seconds)})" if seconds >= 0 else "")


def age_text(seconds: float) -> str:
    """Return a time in its largest unit: `3 h`."""
    return next((f"{int(seconds // size)} {name}" for size, name in _UNITS if seconds >= size), "0 s")


def wrapped(text: str, indent: str = "  ", first: str | None = None) -> list[str]:
    """Return a text in lines. Words such as addresses are not broken."""
    begins = indent if first is None else first
    flat = " ".join(text.split())
    return textwrap.wrap(
        flat,
        WIDTH,
        initial_indent=begins,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [begins.rstrip()]
