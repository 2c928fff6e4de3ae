"""Lets two processes of the device plugin share their files: in an upgrade both run for a moment (decision 0040).

A writer of ledger or grants holds a lock while it writes, and reads before that what the other one wrote. The process
that ends removes its files only if it is the last one. The locks are flock(2), so they end with their process.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from virtfn_host.linux.poolfile import PoolFileError

LONGEST = 5.0
"""Seconds to wait for the other process. A write takes milliseconds; a process that stands still may hold the lock."""
_AGAIN = 0.005
"""Seconds between two tries: flock itself would wait for ever."""


class FileLock:
    """A lock between processes, and between threads: an empty file, which stays."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock in this context. Where its file cannot be opened there is none: a write says what is wrong.

        Raises:
            PoolFileError: another process holds it for too long.
        """
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        except OSError:
            yield
            return
        try:
            if not _locked(fd, fcntl.LOCK_EX, LONGEST):
                text = f"another process holds {self.path} for more than {LONGEST:.0f} s"
                raise PoolFileError(f"{text}; look for a second device plugin on this node that stands still")
            yield
        finally:
            os.close(fd)


class Presence:
    """Notes that this process runs, and says whether it is the last one: by a lock of the folder itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fd: int | None = None

    def begin(self) -> None:
        """Note that this process runs."""
        with contextlib.suppress(OSError):
            self._fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            _locked(self._fd, fcntl.LOCK_SH, LONGEST)

    def end(self) -> bool:
        """Note that this process ends; return whether no other one runs."""
        if self._fd is None:
            return True
        try:
            return _locked(self._fd, fcntl.LOCK_EX, 0.0)
        finally:
            os.close(self._fd)
            self._fd = None


def _locked(fd: int, how: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_AGAIN)
        except OSError:  # a file system without locks
            return True
        else:
            return True
