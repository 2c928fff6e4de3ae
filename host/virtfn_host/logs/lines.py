"""How a line of a log looks, as text or JSON, and which fields it has."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

NAMES = ("node", "turn", "policy", "pf", "step", "outcome")
"""All fields. A line has those of its record (`extra=`) and of its context (`about`)."""

SHOWN = ("turn", "policy")
"""Fields that text shows."""

Fields = Mapping[str, object]

_CONTEXT: ContextVar[Fields] = ContextVar("fields of log lines")
"""Of the task or thread."""


def context() -> Fields:
    """Return the fields of this task or thread."""
    return _CONTEXT.get({})


@contextmanager
def about(**fields: object) -> Iterator[None]:
    """Give these fields to all lines that are logged inside, also by tasks and threads that asyncio starts inside."""
    token = _CONTEXT.set({**context(), **fields})
    try:
        yield
    finally:
        _CONTEXT.reset(token)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Return the fields of a line in the order of `NAMES`; an empty one is left out."""
    own = {**context(), **vars(record)}
    return {name: own[name] for name in NAMES if own.get(name) not in (None, "")}


class TextLines(logging.Formatter):
    """Lines for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; those of a traceback follow indented, so that none of them looks like a line of the log."""
        line, *traceback = super().format(record).split("\n")
        return "\n".join([line, *(f"    {_one_line(part)}" for part in traceback)])

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line without its traceback."""
        fields = fields_of(record)
        shown = "".join(f" {name}={fields[name]}" for name in SHOWN if name in fields)
        return _one_line(super().formatMessage(record) + shown)


class JsonLines(logging.Formatter):
    """Lines for programs: one JSON object each, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str)


def _one_line(text: str) -> str:
    """Return the text with control characters escaped: no name and no answer may begin a line of its own."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
