"""Which requests to the API server may go out now. Pure decisions on what was answered; the clock is an argument.

Failures are counted on three lines, so that one bad object holds up no other, and yet a thousand of them make no storm:

- the request itself (method and path) waits from its second failure on;
- all requests of its sort (method and resource) wait once several of them failed in a row;
- everything waits when the server itself is unwell (no answer, 401, 429, 5xx, an answer that is not its language), or
  when nothing succeeds any more, whatever the statuses.

A line whose time has come lets one request through and holds the others until that one is answered.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from virtfn_host.backoff import LIMIT, Backoff

UNANSWERED = 0
"""The status of a request without an answer, or with one that is no answer of an API server."""

ONE_PATIENCE = 1
"""Failures in a row of one request before it waits: an absent object is made next, and a conflict is read again."""

SORT_PATIENCE = 4
"""Failures in a row of different requests of one sort before the sort waits."""

ALL_PATIENCE = 8
"""Failures in a row of any requests, none of which blames the server as a whole, before everything waits."""

PROBE = 35.0
"""Seconds until the one request that is let through counts as lost; longer than a request may take."""

LINES = 4096
"""Requests that are remembered; beyond that those whose time came longest ago are forgotten."""


@dataclass(slots=True)
class _Line:
    backoff: Backoff = field(default_factory=Backoff)
    open_at: float = 0.0
    waits: bool = False
    """It failed so often that the next of it goes alone."""


class Gate:
    """One for each session with the API server; all methods belong to one event loop."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: dict[tuple[str, ...], _Line] = {}
        self.succeeded_at: float | None = None
        """When a request last succeeded, by the clock."""
        self.failed_at: float | None = None

    def hold(self, method: str, path: str) -> float:
        """Seconds until this request may go out; 0.0 when it may now."""
        return max(0.0, max((line.open_at for line in self._known(method, path)), default=0.0) - self._clock())

    def enter(self, method: str, path: str) -> float:
        """As `hold`; at 0.0 the request counts as sent, and others behind the same failures wait for its outcome."""
        if (wait := self.hold(method, path)) > 0.0:
            return wait
        for line in self._known(method, path):
            if line.waits:
                line.open_at = self._clock() + PROBE
        return 0.0

    def succeeded(self, method: str, path: str) -> None:
        """It was answered well: what it stood for is open again."""
        self.succeeded_at = self._clock()
        for key in _keys(method, path):
            self._lines.pop(key, None)

    def failed(self, method: str, path: str, status: int, *, retry_after: float | None = None) -> float:
        """It was not; seconds until it may be tried again.

        Args:
            status: of the answer; `UNANSWERED` when there was none.
            retry_after: seconds that the server asked for; respected up to the limit of any back-off.
        """
        now = self._clock()
        self.failed_at = now
        asked = min(retry_after or 0.0, LIMIT)
        unwell = blames_server(status)
        one, sort, everything = _keys(method, path)
        self._count(one, now, patience=ONE_PATIENCE, asked=asked)
        self._count(sort, now, patience=SORT_PATIENCE)
        self._count(everything, now, patience=ONE_PATIENCE if unwell else ALL_PATIENCE, asked=asked if unwell else 0.0)
        self._forget()
        return self.hold(method, path)

    def _count(self, key: tuple[str, ...], now: float, *, patience: int, asked: float = 0.0) -> None:
        line = self._lines.setdefault(key, _Line())
        line.backoff.failures += 1
        pause = max(line.backoff.delay(line.backoff.failures - patience), asked)
        line.open_at, line.waits = now + pause, pause > 0.0

    def _known(self, method: str, path: str) -> list[_Line]:
        return [line for key in _keys(method, path) if (line := self._lines.get(key)) is not None]

    def _forget(self) -> None:
        if len(self._lines) > LINES:
            oldest = sorted(self._lines, key=lambda key: self._lines[key].open_at)
            for key in oldest[: LINES // 2]:
                del self._lines[key]


def blames_server(status: int) -> bool:
    """Whether such an answer says something of the server and not of the object that was asked for."""
    return (
        status in (UNANSWERED, HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    )


def _keys(method: str, path: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    return (method, path), (method, *_resource(path)), ()


def _resource(path: str) -> tuple[str, ...]:
    """What sort of object a path speaks of: `/apis/GROUP/VERSION/PLURAL/NAME/STATUS` without version and names."""
    parts = path.strip("/").split("/")
    rest = parts[3:] if parts[0] == "apis" else parts[2:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    return ("sort", *rest[:1], str(len(rest)), *rest[2:])
