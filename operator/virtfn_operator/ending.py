"""The end of a process that nothing holds off: neither a slow answer, nor a file, nor a log that nobody reads.

An orderly end waits for others: a turn, a request, a thread that reads a file. The pod's grace period is 30 s, and
then comes SIGKILL. So a thread that only looks at the clock ends the process before that.
"""

import os
import threading
from collections.abc import Callable
from typing import NoReturn

TOLD_TO_END = 22.0
"""Seconds after SIGTERM until the process ends without any more order; a pod has 30."""

LEASE_LOST = 3
"""Exit status of a controller that could not renew its lease; any other fault is 1.

The pod's status shows it even where the node cannot read the container's log any more.
"""

LAST_WORDS = 0.5
"""Seconds for what is done last: a disk or a log may hang."""


def end_now(status: int, last: Callable[[], object]) -> NoReturn:
    """End the process at once, after `last` or half a second of it."""
    words = threading.Thread(target=last, name="last words", daemon=True)
    words.start()
    words.join(LAST_WORDS)
    os._exit(status)


def end_within(seconds: float, status: int, last: Callable[[], object]) -> None:
    """Let the process end as it should, but after so many seconds at the latest, and then by `end_now`."""
    clock = threading.Timer(seconds, end_now, (status, last))
    clock.daemon = True
    clock.start()
