"""How long to wait: one rule of back-off for every loop of every process, and one source of jitter.

The caller passes the time. A loop that fails without end tries at most nine times in its first minute and three times
in each later one. It tries again at most `LIMIT` seconds after the other side is well (docs/decisions/0016; measured:
`make prove PROOFS=api-server`).
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

FIRST = 1.0
"""Seconds to wait after the first failure, unless a loop has a reason for another number."""

LIMIT = 30.0
"""Seconds to wait at most, likewise."""


_CHANCE = random.Random()  # noqa: S311  # jitter is no secret
"""Of its own: a thread that waits must not change the module's, which hypothesis seeds."""


def between(least: float, most: float) -> float:
    """Return a random number between two, so that many nodes do not ask at the same moment."""
    return _CHANCE.uniform(least, most)


Jitter = Callable[[float, float], float]
"""`between`, or a fixed number in tests."""


@dataclass(slots=True, kw_only=True)
class Backoff:
    """Counts failures in a row and tells how long to wait after each: 1 s, 2 s, 4 s ... 30 s, each with jitter."""

    first: float = FIRST
    """Seconds after the first failure."""
    limit: float = LIMIT
    """Seconds at most, after any number of failures."""
    jitter: Jitter = between
    failures: int = 0

    def failed(self) -> float:
        """Count one more failure; return the seconds to wait before the next attempt."""
        self.failures += 1
        return self.delay(self.failures)

    def succeeded(self) -> None:
        """Start again at `first` with the next failure."""
        self.failures = 0

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row; 0 after none."""
        if failures < 1:
            return 0.0
        whole = min(self.first * 2.0 ** min(failures - 1, 32), self.limit)
        return whole * self.jitter(0.5, 1.0)


class Backoffs:
    """The same delays as an endless iterable, as kopf takes them, so that no watch gives up on an absent API server."""

    def __iter__(self) -> Iterator[float]:
        backoff = Backoff()
        while True:
            yield backoff.failed()


@dataclass(slots=True, kw_only=True)
class Allowance:
    """A rate limit: `burst` at once, then one every so many seconds. For writes that other parties can cause."""

    burst: int
    every: float
    """Seconds until one more is allowed."""
    _left: float | None = None
    _at: float = 0.0

    def take(self, now: float) -> bool:
        """Return whether one more is allowed at `now` (seconds of a monotonic clock), and if so use it up."""
        left = self.burst if self._left is None else self._left + (now - self._at) / self.every
        self._left, self._at = min(float(self.burst), left), now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def reserve(self, now: float) -> float:
        """Use up the next one; return the seconds from `now` until it is allowed."""
        left = self.burst if self._left is None else min(float(self.burst), self._left + (now - self._at) / self.every)
        self._left, self._at = left - 1.0, now
        return max(0.0, -self._left) * self.every

    def wait(self, now: float) -> float:
        """Return the seconds from `now` until one more is allowed; use up nothing."""
        if self._left is None:
            return 0.0
        left = min(float(self.burst), self._left + (now - self._at) / self.every)
        return max(0.0, (1.0 - left) * self.every)
