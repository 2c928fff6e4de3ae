"""Decides which requests to the API server may be sent now, from earlier answers. Pure; the clock is an argument.

Failures are counted on three lines, so that one bad object delays no other, and a thousand bad objects cause no flood
of requests:

- the request itself (method and path) waits from its second failure on;
- all requests of its sort (method and resource) wait once several of them failed in a row;
- everything waits when the server itself fails (no answer, 401, 429, 5xx, an answer that no API server gives), or when
  no request succeeds any more, whatever the statuses.

When the wait of a line is over, it lets one request through and holds the others until that one is answered.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from virtfn_host.backoff import LIMIT, Backoff

UNANSWERED = 0
"""The status of a request without an answer, or with an answer that no API server gives."""

ONE_PATIENCE = 1
"""Failures in a row of one request before it waits: an absent object is created next, and a conflict is read again."""

SORT_PATIENCE = 4
"""Failures in a row of different requests of one sort before the sort waits."""

ALL_PATIENCE = 8
"""Failures in a row of any requests before everything waits, if none of them is a failure of the server itself."""

PROBE = 35.0
"""Seconds until the one request that was let through counts as lost; longer than a request may take."""

LINES = 4096
"""Lines that are remembered; beyond that the ones that were due first are forgotten."""


@dataclass(slots=True)
class _Line:
    backoff: Backoff = field(default_factory=Backoff)
    open_at: float = 0.0
    waits: bool = False
    """Whether its next request goes alone, because it failed so often."""
    tries: bool = False
    """Whether that one is under way."""


class Gate:
    """The gate of one session with the API server. Call all methods in one event loop."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: dict[tuple[str, ...], _Line] = {}
        self.succeeded_at: float | None = None
        """Time of the last success, by the clock."""
        self.failed_at: float | None = None

    def hold(self, method: str, path: str) -> float:
        """Return the seconds until this request may be sent; 0.0 when it may be sent now."""
        return max(0.0, max((line.open_at for line in self._known(method, path)), default=0.0) - self._clock())

    def hold_others(self, method: str, path: str) -> float:
        """As `hold`, but only for what holds other requests of this sort, too: an asked pause, a server that fails."""
        lines = [self._lines[key] for key in _keys(method, path)[1:] if key in self._lines]
        return max(0.0, max((line.open_at for line in lines), default=0.0) - self._clock())

    def enter(self, method: str, path: str) -> float:
        """As `hold`; at 0.0 the request counts as sent, and others on its waiting lines wait for its outcome."""
        if (wait := self.hold(method, path)) > 0.0:
            return wait
        for line in self._known(method, path):
            if line.waits:
                line.open_at, line.tries = self._clock() + PROBE, True
        return 0.0

    def succeeded(self, method: str, path: str) -> None:
        """Note a success, which opens the three lines of the request."""
        self.succeeded_at = self._clock()
        for key in _keys(method, path):
            self._lines.pop(key, None)

    def failed(self, method: str, path: str, status: int, *, retry_after: float | None = None) -> float:
        """Note a failure; return the seconds until the request may be sent again.

        Args:
            method: HTTP method of the request.
            path: path of the request.
            status: status of the answer; `UNANSWERED` when there was none.
            retry_after: seconds that the server asked for; respected up to the limit of the back-off.
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
        if now < line.open_at and not line.tries:  # it was sent before the line was closed: one trouble, not two
            line.open_at = max(line.open_at, now + asked)
            return
        line.tries = False
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
    """Whether an answer with this status shows a failure of the server, not of the requested object."""
    return (
        status in (UNANSWERED, HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    )


def _keys(method: str, path: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    return (method, path), (method, *_resource(path)), ()


def _resource(path: str) -> tuple[str, ...]:
    """The sort of object that a path names: `/apis/GROUP/VERSION/PLURAL/NAME/STATUS` without version and names."""
    parts = path.strip("/").split("/")
    rest = parts[3:] if parts[0] == "apis" else parts[2:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    return ("sort", *rest[:1], str(len(rest)), *rest[2:])
