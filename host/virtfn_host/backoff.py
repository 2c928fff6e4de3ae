"""How long to wait: one rule of back-off for every loop of every process, and one source of jitter.

The time is the caller's. Measured against what a strange API server may do (docs/decisions/0016): a loop that fails
without end tries at most nine times in its first minute and three times in each later one, and tries again at most
`LIMIT` seconds after the other side is well.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

FIRST = 1.0
"""Seconds after the first failure, where a loop has no reason for another number."""

LIMIT = 30.0
"""Seconds at most, likewise."""


def between(least: float, most: float) -> float:
    """Somewhere between two numbers, so that many nodes do not ask at the same moment."""
    return random.uniform(least, most)  # noqa: S311  # jitter is no secret


Jitter = Callable[[float, float], float]
"""`between`, or a fixed number in tests."""


@dataclass(slots=True, kw_only=True)
class Backoff:
    """Counts failures in a row and says how long to wait after each: 1 s, 2 s, 4 s ... 30 s, each with jitter."""

    first: float = FIRST
    """Seconds after the first failure."""
    limit: float = LIMIT
    """Seconds at most, however many failures there were."""
    jitter: Jitter = between
    failures: int = 0

    def failed(self) -> float:
        """One more failure; the seconds to wait before the next attempt."""
        self.failures += 1
        return self.delay(self.failures)

    def succeeded(self) -> None:
        """Begin anew with the next failure."""
        self.failures = 0

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row; none after none."""
        if failures < 1:
            return 0.0
        whole = min(self.first * 2.0 ** min(failures - 1, 32), self.limit)
        return whole * self.jitter(0.5, 1.0)


class Backoffs:
    """The same delays as an endless iterable, as kopf takes them: an API server that is away ends no watch."""

    def __iter__(self) -> Iterator[float]:
        backoff = Backoff()
        while True:
            yield backoff.failed()


@dataclass(slots=True, kw_only=True)
class Allowance:
    """So many at once, then one every so many seconds: for what is written because something else moves."""

    burst: int
    every: float
    """Seconds until one more is allowed."""
    _left: float | None = None
    _at: float = 0.0

    def take(self, now: float) -> bool:
        """Whether one more is allowed at `now` (seconds of a monotonic clock); if so it is used up."""
        left = self.burst if self._left is None else self._left + (now - self._at) / self.every
        self._left, self._at = min(float(self.burst), left), now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def reserve(self, now: float) -> float:
        """Seconds from `now` until the next that is allowed, which is used up already."""
        left = self.burst if self._left is None else min(float(self.burst), self._left + (now - self._at) / self.every)
        self._left, self._at = left - 1.0, now
        return max(0.0, -self._left) * self.every

    def wait(self, now: float) -> float:
        """Seconds from `now` until one more is allowed."""
        if self._left is None:
            return 0.0
        left = min(float(self.burst), self._left + (now - self._at) / self.every)
        return max(0.0, (1.0 - left) * self.every)
