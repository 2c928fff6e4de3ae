"""Print one line when a step begins and one when it ends, each with the time since the start.

The lines are plain, so that they look the same in a CI log and in a terminal.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

_began = time.monotonic()


def say(text: str) -> None:
    """Print one line, after the seconds since this process started."""
    print(f"[{time.monotonic() - _began:7.1f}s] {text}", flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print that a step begins, then how long it took; a failure is printed and raised again."""
    say(f"{title} ...")
    started = time.monotonic()
    try:
        yield
    except BaseException:
        say(f"{title}: FAILED after {time.monotonic() - started:.1f} s")
        raise
    say(f"{title}: done in {time.monotonic() - started:.1f} s")
