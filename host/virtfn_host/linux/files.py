"""Small files of ours: read within bounds and without blocking; written, or appended to, whole or not at all.

A program that can write beside them may put anything in their place: a fifo, a device, a link, a file without end. So
only a regular file is read that belongs to root or to us and that no other user may write. `documents.py` reads what it
says.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

LIMIT = 4 << 20
"""Bytes of the longest file of ours: 2,048 VFs are at most 0.7 MB in the pool file and 0.3 MB in the journal."""

_KINDS = (
    (stat.S_ISLNK, errno.ELOOP, "is a symbolic link and not followed; put the file itself there"),
    (stat.S_ISDIR, errno.EISDIR, "is a folder; move it away"),
    (stat.S_ISFIFO, errno.EINVAL, "is a fifo, not a regular file; remove it"),
    (stat.S_ISSOCK, errno.ENXIO, "is a socket, not a regular file; remove it"),
    (lambda mode: not stat.S_ISREG(mode), errno.EINVAL, "is a device, not a regular file; remove it"),
)

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
_MORE = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Stamp(NamedTuple):
    """By what a program recognises the file that it wrote; another program's write changes it."""

    inode: int
    modified_ns: int
    changed_ns: int
    size: int


def stamp_of(path: Path) -> Stamp | None:
    """Return what is at this path now; None: nothing that can be looked at."""
    try:
        return _stamp(path.lstat())
    except OSError:
        return None


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


class NotSyncedError(OSError):
    """The file is written, but a power cut may undo that."""


def read_bounded(path: Path, limit: int = LIMIT) -> bytes | None:
    """Return the contents of a file of ours, or None where there is no file.

    Raises:
        OSError: the file is not regular, not ours, writable by others, longer than `limit` bytes, or cannot be read.
            The text says which, and what helps.
    """
    try:
        with _opened(path.parent) as folder:
            # Before it is opened, because to open some devices has an effect.
            _expect_ours(os.stat(path.name, dir_fd=folder, follow_symlinks=False), limit)
            fd = os.open(path.name, _FILE, dir_fd=folder)
    except FileNotFoundError:
        return None
    try:
        _expect_ours(os.fstat(fd), limit)
        parts: list[bytes] = []
        left = limit + 1  # it may grow while it is read
        while left > 0 and (part := os.read(fd, min(left, 1 << 20))):
            parts.append(part)
            left -= len(part)
    finally:
        os.close(fd)
    if left <= 0:
        raise _too_long(limit)
    return b"".join(parts)


def write_atomically(path: Path, text: str | bytes, mode: int) -> None:
    """Replace the file at `path` by `text`. A reader sees the old file or the new one, also after a crash.

    A missing folder is made. Temporary files of killed writers of the same file are removed.

    Raises:
        NotSyncedError: the file is written, but its folder did not sync.
        OSError: the file could not be written; the old one is as it was.
    """
    data = text.encode() if isinstance(text, str) else text
    path.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path.parent) as folder:
        _remove_left_behind(folder, path.name)
        fd, temporary = _made(folder, path.name)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(fd, left) :]
            os.fchmod(fd, mode)
            os.fsync(fd)
            os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):  # the first error is reported; the next writer removes the file
                os.unlink(temporary, dir_fd=folder)
            raise
        finally:
            os.close(fd)
        try:
            os.fsync(folder)
        except OSError as error:
            text = f"its folder did not sync: {error.strerror}; it is written, but a power cut may undo that"
            raise NotSyncedError(error.errno, text) from error


def append(path: Path, data: bytes, known: Stamp) -> Stamp | None:
    """Append to a file that is as its writer left it, and sync it. Return what the file is then.

    None: the file is another one or was changed, and nothing was appended.

    Raises:
        OSError: not all could be written. What was written of it is cut off again, if that is possible.
    """
    try:
        with _opened(path.parent) as folder:
            if _stamp(os.stat(path.name, dir_fd=folder, follow_symlinks=False)) != known:
                return None
            fd = os.open(path.name, _MORE, dir_fd=folder)
    except OSError:
        return None
    try:
        if _stamp(os.fstat(fd)) != known:
            return None
        _write_synced(fd, data, known.size)
        return _stamp(os.fstat(fd))
    finally:
        os.close(fd)


def _write_synced(fd: int, data: bytes, size: int) -> None:
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
        os.fdatasync(fd)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is reported; a reader recognises a record that is cut off
            os.ftruncate(fd, size)
        raise


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Open the folder itself, so that no later call through it can be redirected."""
    try:
        fd = os.open(folder, _FOLDER)
    except OSError as error:
        if folder.is_symlink():
            text = f"its folder {folder} is a symbolic link and not followed; mount there what it leads to"
            raise OSError(errno.ELOOP, text) from error
        if error.errno == errno.ENOTDIR:
            raise OSError(errno.ENOTDIR, f"Not a directory on the way to it: {folder}") from error
        raise
    try:
        yield fd
    finally:
        os.close(fd)


def _expect_ours(found: os.stat_result, limit: int) -> None:
    for is_kind, number, text in _KINDS:
        if is_kind(found.st_mode):
            raise OSError(number, text)
    if found.st_uid not in (0, os.geteuid()):
        raise OSError(errno.EPERM, f"belongs to user {found.st_uid}, so it cannot be trusted; chown it to root")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        text = f"may be written by others (mode {stat.S_IMODE(found.st_mode):o}); look at it, then chmod go-w"
        raise OSError(errno.EPERM, text)
    if found.st_size > limit:
        raise _too_long(limit)


def _too_long(limit: int) -> OSError:
    return OSError(errno.EFBIG, f"is longer than {limit} bytes, so it is none of ours")


# A living writer holds a lock on its temporary file. So a file that can be locked was left by a killed writer, in
# whatever process namespace it was and however many writers there are.

_SUFFIX = ".new"
_EARLIER = re.compile(r"[a-z0-9_]{8}")
"""The end of the name of a temporary file that an earlier version left (mkstemp)."""


def _made(folder: int, name: str) -> tuple[int, str]:
    while True:
        temporary = f".{name}.{secrets.token_hex(8)}{_SUFFIX}"
        fd = os.open(temporary, _NEW, 0o600, dir_fd=folder)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:  # no other writer removed it as left behind before it was locked
                return fd, temporary
        except BaseException:
            os.close(fd)
            with contextlib.suppress(OSError):  # the first error is reported
                os.unlink(temporary, dir_fd=folder)
            raise
        os.close(fd)


def _remove_left_behind(folder: int, name: str) -> None:
    """Remove temporary files of killed writers. For tidiness only: a failure stops no write."""
    start = f".{name}."
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder):
            rest = entry.removeprefix(start)
            if entry.startswith(start) and (rest.endswith(_SUFFIX) or _EARLIER.fullmatch(rest)):
                _remove_unless_written(folder, entry)


def _remove_unless_written(folder: int, entry: str) -> None:
    with contextlib.suppress(OSError):
        found = os.stat(entry, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return
        fd = os.open(entry, _FILE, dir_fd=folder)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(entry, dir_fd=folder)
        finally:
            os.close(fd)
