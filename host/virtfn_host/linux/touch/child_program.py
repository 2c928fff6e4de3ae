"""The process that reads and writes sysfs files for `child.py`: one thread for each three pipes.

Messages carry lengths, never separators, so no path and no value can be taken for two. A message is its own length,
then for each touch the length of the path, the length of the value, the path and the value; the length -1 (no value)
asks for a read. This is the one process that writes, so it checks every request again: a value goes only to an
attribute in ATTRIBUTES, below the folder that this process was started for. Imports nothing of virtfn.

Each touch is answered by a line: errno (0 for success), the time when it returned, the data read, in hex. The end of a
list is a byte on a second pipe, so that the caller need not wake up for every answer. The process says when all threads
have started, and then only waits for them.
"""

import errno
import os
import select
import struct
import sys
import time
from _thread import LockType, allocate_lock, start_new_thread
from collections.abc import Iterator

HEAD = struct.Struct("!I")
"""Length of a message without this head."""

TOUCH = struct.Struct("!Ii")
"""Lengths of a path and of a value; -1: there is no value."""

ATTRIBUTES = frozenset(
    (b"sriov_numvfs", b"sriov_drivers_autoprobe", b"driver_override", b"bind", b"unbind", b"drivers_probe")
)
"""The only attributes that are written."""

PATH_LIMIT, VALUE_LIMIT = 4095, 4095
"""Bytes: PATH_MAX and the page of an attribute, without the last."""

READ_LIMIT = 65536


def forbidden(path: bytes, below: bytes) -> bool:
    """Whether a path may not be written, because it is not an attribute in ATTRIBUTES below this folder.

    A component of dots alone leads elsewhere, and no honest request has an empty one.
    """
    if not path.startswith(below + b"/") or b"\0" in path or len(path) > PATH_LIMIT:
        return True
    parts = path[len(below) + 1 :].split(b"/")
    return parts[-1] not in ATTRIBUTES or any(not part.strip(b".") for part in parts)


def touches(message: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """Path and value of each touch of a message; None: a read. Ends early where the lengths do not fit."""
    at = 0
    while at + TOUCH.size <= len(message):
        path_size, value_size = TOUCH.unpack_from(message, at)
        start = at + TOUCH.size
        middle = start + path_size
        at = middle + max(value_size, 0)
        if at > len(message):
            return
        yield message[start:middle], None if value_size < 0 else message[middle:at]


def touch(path: bytes, value: bytes | None, below: bytes | None) -> bytes:
    """Do one read(2) or write(2); return the data read. With `below` None any file that exists may be written."""
    if value is None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    elif len(value) > VALUE_LIMIT or (below is not None and forbidden(path, below)):
        raise OSError(errno.EPERM, "forbidden")
    else:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | (0 if below is None else os.O_NOFOLLOW))
    try:
        if value is None:
            return os.read(fd, READ_LIMIT)
        os.write(fd, value)
        return b""
    finally:
        os.close(fd)


def work(commands: int, answers: int, done: int, below: bytes | None) -> None:
    """Carry out list after list until the other end hangs up."""
    # Looked at before each touch: a caller that hangs up and then hears nothing knows that nothing more was begun.
    hung_up = select.poll()
    hung_up.register(commands, 0)
    with open(commands, "rb", closefd=False) as messages:
        while len(head := messages.read(HEAD.size)) == HEAD.size:
            (size,) = HEAD.unpack(head)
            message = messages.read(size)
            if len(message) < size:
                return
            for path, value in touches(message):
                if hung_up.poll(0):
                    return
                try:
                    number, data = 0, touch(path, value, below).hex()
                except OSError as error:
                    number, data = error.errno or errno.EIO, ""
                except ValueError:  # a NUL in a path
                    number, data = errno.EINVAL, ""
                os.write(answers, b"%d %r %s\n" % (number, time.monotonic(), data.encode()))
            os.write(done, b".")


def live(ends: tuple[int, int, int], below: bytes | None, ended: LockType) -> None:
    """Run one thread: serve its pipes until the caller hangs up."""
    try:
        work(*ends, below)
    except BrokenPipeError:
        pass  # The caller no longer waits for the answer.
    finally:
        for fd in ends:
            os.close(fd)
        ended.release()


def main(below: bytes | None, crew: list[tuple[int, int, int]]) -> None:
    """Start one thread for each three pipes, say so, and wait for all of them."""
    lives: list[LockType] = []
    for ends in crew:
        lives.append(allocate_lock())
        lives[-1].acquire()
        start_new_thread(live, (ends, below, lives[-1]))
    os.write(1, b".")
    for ended in lives:
        ended.acquire()


if __name__ == "__main__":
    folder, *words = sys.argv[1:]
    pipes = [[int(fd) for fd in word.split(",")] for word in words]
    main(os.fsencode(folder) if folder else None, [(ends[0], ends[1], ends[2]) for ends in pipes])
