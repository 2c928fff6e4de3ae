"""Tells the health server whether the watch's thread answers. Knows nothing of what is watched."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

HUNG = 300.0
"""Seconds without an answer of the thread's event loop after which the process should be restarted."""


class WatchHealth:
    """The health of one watch. Two threads use it; each writes its own fields only."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answered_at = clock()
        self._watches = False
        self._ended_at = clock()

    def begin(self) -> None:
        """Expect a watch from now on."""
        self._ended_at = self._clock()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Note that a watch runs while the body does."""
        self._watches, self._answered_at = True, self._clock()
        try:
            yield
        finally:
            self._watches, self._loop, self._ended_at = False, None, self._clock()

    def runs_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note the event loop; called by the watch's thread when it starts."""
        self._loop = loop
        self._answer()

    def ask(self) -> None:
        """Ask the thread's event loop for a sign of life."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the thread has just ended and reports it
                self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self._answered_at = self._clock()

    def ailing(self, served_at: float | None) -> str | None:
        """Return why the process should be restarted, or None.

        Args:
            served_at: when a request of this process last succeeded. While none succeeds, a missing watch is no reason
                for a restart: a new process would have no watch either.
        """
        now = self._clock()
        silent = now - self._answered_at
        if self._watches:
            return f"the thread of the watch has not answered for {silent:.0f} s" if silent > HUNG else None
        gone = now - self._ended_at
        served = served_at is not None and now - served_at < HUNG
        return f"there has been no watch for {gone:.0f} s" if gone > HUNG and served else None
