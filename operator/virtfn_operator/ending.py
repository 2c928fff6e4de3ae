"""Ends a process in time, whatever it waits for: a slow answer, a file, or a log that is not read.

An orderly end waits for others: a round of the agent, a request, a thread that reads a file. The pod's grace period is
30 s; then comes SIGKILL. So a thread that only watches the clock ends the process before that.
"""

import os
import threading
from collections.abc import Callable
from typing import NoReturn

TOLD_TO_END = 22.0
"""Seconds after SIGTERM until the process ends at once; a pod has 30."""

LEASE_LOST = 3
"""Exit status of a controller that could not renew its lease; any other fault is 1.

The pod's status shows it even where the node cannot read the container's log any more.
"""

LAST_WORDS = 0.5
"""Seconds for the last action: a disk or a log may hang."""


def end_now(status: int, last: Callable[[], object]) -> NoReturn:
    """Call `last`, for at most `LAST_WORDS` seconds, then end the process."""
    words = threading.Thread(target=last, name="last words", daemon=True)
    words.start()
    words.join(LAST_WORDS)
    os._exit(status)


def end_within(seconds: float, status: int, last: Callable[[], object]) -> None:
    """Let the process end in its own order; after so many seconds call `end_now`."""
    clock = threading.Timer(seconds, end_now, (status, last))
    clock.daemon = True
    clock.start()
