"""Whether the watch's thread lives, for the health server. Asks its event loop; knows nothing of what is watched."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

HUNG = 300.0
"""Seconds without an answer of the thread's event loop after which the process is to be started anew."""


class WatchHealth:
    """Asked and answered from two threads; each writes its own numbers only."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answered_at = clock()
        self._watches = False
        self._ended_at = clock()

    def begin(self) -> None:
        """From now on a watch is missed."""
        self._ended_at = self._clock()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """While a watch runs, well or not."""
        self._watches, self._answered_at = True, self._clock()
        try:
            yield
        finally:
            self._watches, self._loop, self._ended_at = False, None, self._clock()

    def runs_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """Said by the watch's thread when it begins."""
        self._loop = loop
        self._answer()

    def ask(self) -> None:
        """Ask the thread whether it still takes turns."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed: the thread has just ended, and says so itself
                self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self._answered_at = self._clock()

    def ailing(self, served_at: float | None) -> str | None:
        """Why the process is to be started anew, or None.

        Args:
            served_at: when the API server last answered a request of this process well. While it does not, a watch that
                is not there is no reason: a new process would have none either.
        """
        now = self._clock()
        silent = now - self._answered_at
        if self._watches:
            return f"the thread of the watch has not answered for {silent:.0f} s" if silent > HUNG else None
        gone = now - self._ended_at
        served = served_at is not None and now - served_at < HUNG
        return f"there has been no watch for {gone:.0f} s" if gone > HUNG and served else None
