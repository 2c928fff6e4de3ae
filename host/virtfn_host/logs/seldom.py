"""A log filter with a limit per time, for messages that a client can cause: no client can fill a disk with them."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable


class Seldom(logging.Filter):
    """Lets at most `most` messages through in `seconds`. It counts the others, and the next message says how many."""

    def __init__(self, most: int = 10, seconds: float = 60.0, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._times: deque[float] = deque(maxlen=most)
        self._seconds = seconds
        self._now = now
        self._left_out = 0
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter."""
        with self._lock:
            now = self._now()
            if len(self._times) == self._times.maxlen and now - self._times[0] < self._seconds:
                self._left_out += 1
                return False
            self._times.append(now)
            left_out, self._left_out = self._left_out, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} more of the kind were not logged)", ()
        return True
