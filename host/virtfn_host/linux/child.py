"""A child process that touches one sysfs file at a time, so that a touch that blocks is not ours.

A blocked read or write sits in state D: it cannot be killed, and a thread of ours in it would keep this process, and so
its pod, from ending. Children hold none of our file descriptors and live in a session of their own. They are reused: an
interpreter start for each VF would cost more than the bind.
"""

import os
import select
import subprocess
import sys

_PROGRAM = """
import os, sys
for line in sys.stdin.buffer:
    path, *value = line.rstrip(b"\\n").split(b"\\0")
    data = b""
    try:
        fd = os.open(path, (os.O_WRONLY if value else os.O_RDONLY) | os.O_CLOEXEC)
        try:
            if value:
                os.write(fd, bytes.fromhex(value[0].decode()))
            else:
                data = os.read(fd, 65536)
        finally:
            os.close(fd)
        answer = 0
    except OSError as error:
        answer = error.errno
    os.write(1, b"%d %s\\n" % (answer, data.hex().encode()))
"""
"""A line in: path, or path NUL value in hex. A line out: errno (0 for success), the data read in hex."""


class Child:
    """One such process; `ask`, then `answer`."""

    def __init__(self) -> None:
        read_end, self._commands = os.pipe2(os.O_CLOEXEC)
        self._answers, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PROGRAM],
                stdin=read_end,
                stdout=write_end,
                close_fds=True,
                start_new_session=True,
            )
        finally:
            os.close(read_end)
            os.close(write_end)
        self._answered = select.poll()
        self._answered.register(self._answers, select.POLLIN)

    def ask_write(self, path: str, value: str) -> None:
        """Begin one write(2) of `value`; the file must exist."""
        os.write(self._commands, path.encode() + b"\0" + value.encode().hex().encode() + b"\n")

    def ask_read(self, path: str) -> None:
        """Begin one read(2) of at most 64 KiB."""
        os.write(self._commands, path.encode() + b"\n")

    def answer(self, seconds: float) -> tuple[int, bytes] | None:
        """Errno (0: it worked) and what was read; None when it has not returned in time: ask again later.

        Raises:
            ChildProcessError: the child died, killed by somebody.
        """
        if not self._answered.poll(max(0.0, seconds) * 1000):
            return None
        line = b""
        while not line.endswith(b"\n"):
            part = os.read(self._answers, 65536)
            if not part:
                raise ChildProcessError("a process that touches sysfs for us was killed")
            line += part
        errno, _, data = line.partition(b" ")
        return int(errno), bytes.fromhex(data.decode())

    def end(self) -> None:
        """Kill it; one that is blocked dies when the kernel lets it go."""
        self.process.kill()
        os.close(self._commands)
        os.close(self._answers)

    def reap(self, seconds: float) -> None:
        """Wait for its end; a blocked one is left to whoever becomes its parent."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.returncode = -9  # Not ours to wait for: it sits in the kernel.
