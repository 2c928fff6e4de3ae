"""One line when a step begins and one when it ends, each with the time since the start.

Plain lines, so that a log of a CI run reads the same as a terminal.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

_began = time.monotonic()


def say(text: str) -> None:
    """Print one line with the elapsed seconds of this process in front."""
    print(f"[{time.monotonic() - _began:7.1f}s] {text}", flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step, then how long it took; a failure is announced and re-raised."""
    say(f"{title} ...")
    started = time.monotonic()
    try:
        yield
    except BaseException:
        say(f"{title}: FAILED after {time.monotonic() - started:.1f} s")
        raise
    say(f"{title}: done in {time.monotonic() - started:.1f} s")
