"""Limits the log lines of a lasting failure: the first is logged, later ones at growing intervals, with a count.

The filter is on the handler, because libraries log the same failure in their own words too. Only warnings and worse are
limited. Time is monotonic: a clock that jumps neither hides nor repeats a line.
"""

import logging
import re
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

FIRST = 10.0
"""Seconds until the same failure is logged for the second time."""

LIMIT = 600.0
"""Seconds between two lines of the same failure, at most."""

FORGET = 900.0
"""Seconds after which a failure that comes back counts as new."""

LINES = 20
"""Lines of warnings and worse in a minute, at most; the others are counted."""

KNOWN = 1024
"""Failures that are remembered, at most; one more, and all are forgotten."""

_NUMBERS = re.compile(r"0x[0-9a-f]+|[0-9]+(?:\.[0-9]+)?")


@dataclass(slots=True)
class _Failure:
    told_at: float
    seen_at: float
    distance: float = FIRST
    silent: int = 0


class Repeats(logging.Filter):
    """Passes a failure that is new, or that still lasts when its interval is over."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._failures: dict[tuple[str, int, str], _Failure] = {}
        self._minute = 0.0
        self._lines = 0
        self._dropped = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write the record; one that stands for others gets their number."""
        if record.levelno < logging.WARNING:
            return True
        now, text = self._clock(), record.getMessage()
        key = (record.name, record.levelno, _NUMBERS.sub("#", text)[:200])
        failure = self._failures.get(key)
        if failure is None or now - failure.seen_at > FORGET:
            if len(self._failures) >= KNOWN:
                self._failures.clear()
            failure = self._failures[key] = _Failure(told_at=now, seen_at=now)
        else:
            failure.seen_at = now
            if now - failure.told_at < failure.distance:
                failure.silent += 1
                return False
            text += f" ({failure.silent + 1} times in {now - failure.told_at:.0f} s)"
            failure.told_at, failure.silent = now, 0
            failure.distance = min(failure.distance * 3, LIMIT)
            _in_one_line(record)
        return self._afford(record, text, now)

    def _afford(self, record: logging.LogRecord, text: str, now: float) -> bool:
        if now - self._minute >= 60.0:
            if self._dropped:
                text += f" ({self._dropped} other warnings were not logged in a busy minute)"
            self._minute, self._lines, self._dropped = now, 0, 0
        words = 1 + text.count("\n")
        size = words + _size_of_traceback(record)
        if size > words and self._lines + size > LINES:
            text = f"{text}: {_last_line(record)}"
            _in_one_line(record)
            size = words
        if self._lines + size > LINES:
            self._dropped += 1
            return False
        self._lines += size
        record.msg, record.args = text, None
        return True


def _size_of_traceback(record: logging.LogRecord) -> int:
    """The number of lines that the formatter would print below the message."""
    if record.exc_text:
        return record.exc_text.count("\n") + 1
    if record.exc_info and record.exc_info[1] is not None:
        return sum(part.count("\n") for part in traceback.format_exception(record.exc_info[1]))
    return record.stack_info.count("\n") + 1 if record.stack_info else 0


def _last_line(record: logging.LogRecord) -> str:
    return repr(record.exc_info[1]) if record.exc_info else ""


def _in_one_line(record: logging.LogRecord) -> None:
    record.exc_info = record.exc_text = record.stack_info = None
