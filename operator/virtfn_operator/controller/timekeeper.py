"""The controller's clock, and whether it was set: times from before and after that cannot be compared."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

TOLERATED = 30.0
"""Seconds by which wall clock and steady clock may drift apart between two looks; NTP slews a clock slowly."""


class Timekeeper:
    """Reads both clocks together."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._steady = steady
        self._apart = wall() - steady()

    def read(self) -> tuple[str, bool]:
        """Return the time (RFC 3339, whole seconds), and whether the clock was set since the last call."""
        wall, before = self._wall(), self._apart
        self._apart = wall - self._steady()
        now = datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return now, abs(self._apart - before) > TOLERATED
