"""Wakes the manager when a file is made, replaced or removed: by inotify, where the kernel has some left.

inotify only saves looking. A node may have none left (`fs.inotify.max_user_instances`, `max_user_watches`), and on some
file systems it tells nothing. So the manager goes on looking: four times a second without inotify, every two seconds
with it. If such a look finds what no event told of, and again, inotify is not used any more. sysfs has no events of the
kernel's own changes, so functions are always looked at (docs/decisions/0032).
"""

import asyncio
import contextlib
import ctypes
import errno
import logging
import os
import struct
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger("virtfn.deviceplugin")

MISSES = 3
"""Changes in a row that no event told of, after which inotify is not used any more."""

_MOVED = 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x8
"""IN_MODIFY, IN_ATTRIB, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE, IN_CLOSE_WRITE (linux/inotify.h)."""
_LEFT = 0x400 | 0x800
"""IN_DELETE_SELF, IN_MOVE_SELF: the folder itself is not there any more."""
_GONE = _LEFT | 0x2000 | 0x8000
"""The same, IN_UNMOUNT and IN_IGNORED."""
_OVERFLOW = 0x4000
"""IN_Q_OVERFLOW: events were lost."""
_HEAD = struct.Struct("iIII")
"""struct inotify_event without its name: watch, mask, cookie, length of the name."""


class FileEvents:
    """Watches the folders of some files while it is open."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._names = {os.fsencode(path.name) for path in paths}
        self._fd: int | None = None
        self._told = asyncio.Event()
        self._heard = False
        self._misses = 0

    @property
    def heard_of(self) -> bool:
        """Whether changes are told by the kernel now."""
        return self._fd is not None

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Watch, if that is possible."""
        try:
            self._fd = _inotify(sorted({path.parent for path in self._paths}))
            asyncio.get_running_loop().add_reader(self._fd, self._read)
        except OSError as error:
            log.info("no inotify, so files are looked at more often: %s", error.strerror)
        try:
            yield
        finally:
            self._close()

    async def wait(self, seconds: float) -> None:
        """Wait for an event, but not longer than this."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()
        self._told.clear()

    def looked(self, changed: bool) -> None:
        """Compare a look at the files with what was told: a change that no event told of is a miss."""
        self._read()
        if changed:
            self._misses = 0 if self._heard else self._misses + 1
            self._heard = False
        if self._misses >= MISSES and self._fd is not None:
            self._give_up("it does not tell of changes here")

    def _read(self) -> None:
        while self._fd is not None:
            try:
                data = os.read(self._fd, 65536)
            except BlockingIOError:
                return
            except OSError as error:
                self._give_up(str(error))
                return
            for mask, name in _events(data):
                if name in self._names or mask & (_OVERFLOW | _GONE):
                    self._heard = True
                    self._told.set()
                if mask & _GONE:
                    self._give_up("a folder was removed or moved")

    def _give_up(self, why: str) -> None:
        log.info("inotify is not used any more, and files are looked at more often: %s", why)
        self._close()

    def _close(self) -> None:
        if self._fd is not None:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
        self._fd = None


def _inotify(folders: list[Path]) -> int:
    """Return a file descriptor that tells of changes in these folders.

    Raises:
        OSError: there is none, or a folder cannot be watched.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, AttributeError) as error:
        raise OSError(errno.ENOSYS, "the C library has no inotify") from error
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    for folder in folders:
        if libc.inotify_add_watch(fd, os.fsencode(folder), _MOVED | _LEFT) < 0:
            number = ctypes.get_errno()
            os.close(fd)
            raise OSError(number, f"{folder}: {os.strerror(number)}")
    return int(fd)


def _events(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        _, mask, _, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        yield mask, data[at : at + length].rstrip(b"\0")
        at += length
