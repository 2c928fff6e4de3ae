"""Children that read and write sysfs files in another process, so that a call that blocks does not block ours.

A blocked read or write cannot be killed, and one of our threads in it would keep this process, and so its pod, from
ending. The other process holds none of our file descriptors and has a session of its own. A child is a thread of that
process: it is reused and takes a whole list at a time. A crew is one process with many children, because switching
between processes took longer than the calls (measured by hand, emulated NVMe: 127 unbinds by 32 processes 0.44 s, by 32
threads of one process 0.37 s; docs/decisions/0009).
"""

import errno
import os
import pkgutil
import select
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import IO, cast

from virtfn_host.linux.touch.child_program import HEAD, TOUCH

_PROGRAM = (pkgutil.get_data("virtfn_host.linux.touch", "child_program.py") or b"").decode()
"""The program of the other process; read once, when this process starts, from a folder or from an archive."""

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
"""The whole environment of the programs that we start: nothing that this process was given configures them."""

START = 60.0
"""Seconds for the start of a crew, which is in no write's deadline: a node short of CPU took 3 s (measured by hand)."""


@dataclass(frozen=True, slots=True)
class Touched:
    """A child's answer to one read or write."""

    errno: int
    """0: success."""
    at: float
    """When the call returned, by time.monotonic."""
    data: bytes
    """The data read."""


def _readable(fd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(0.0, seconds) * 1000))


def _told(touch: tuple[str, str | None]) -> bytes:
    """One touch as the child reads it; names that are not Unicode keep their bytes."""
    path, value = os.fsencode(touch[0]), None if touch[1] is None else os.fsencode(touch[1])
    return TOUCH.pack(len(path), -1 if value is None else len(value)) + path + (value or b"")


def make_pipes(number: int) -> list[tuple[int, int]]:
    """Make so many pipes, each a pair of reading and writing end; all or none.

    Raises:
        OSError: a pipe could not be made; no pipe is left open.
    """
    pipes: list[tuple[int, int]] = []
    try:
        while len(pipes) < number:
            pipes.append(os.pipe2(os.O_CLOEXEC))
    except OSError:
        for fd in chain.from_iterable(pipes):
            os.close(fd)
        raise
    return pipes


class Child:
    """One child: `ask`, wait until it is `done`, take as many `answers` as were asked for."""

    def __init__(self, commands: int, answers: int, done: int) -> None:
        self._commands: int | None = commands
        self._answers = answers
        self._done = done
        self._heard = b""

    def ask(self, touches: Sequence[tuple[str, str | None]]) -> None:
        """Begin one write(2) of each value to its file, in this order; a value None is one read(2) of at most 64 KiB.

        Raises:
            ChildProcessError: the child had died, so nothing was begun.
        """
        if self._commands is None:
            raise ChildProcessError("it was told to begin nothing more")
        body = b"".join(map(_told, touches))
        rest = HEAD.pack(len(body)) + body
        try:
            while rest:
                rest = rest[os.write(self._commands, rest) :]
        except BrokenPipeError as error:
            raise ChildProcessError("a process that touches sysfs for us was killed") from error

    def fileno(self) -> int:
        """Readable when the whole list is done, or when the child has ended."""
        return self._done

    def done(self) -> None:
        """Wait until the list is done, or the child has ended."""
        os.read(self._done, 1)

    def heard(self, seconds: float = 0.0) -> bool:
        """Whether there is something to read from `answers`, or will be within so many seconds."""
        return _readable(self._answers, seconds)

    def answers(self) -> list[Touched] | None:
        """The answers so far; blocks until there is one.

        None: the child has ended. Unanswered touches were not begun. The first one may have been, if it was killed.
        """
        part = os.read(self._answers, 65536)
        if not part:
            return None
        *lines, self._heard = (self._heard + part).split(b"\n")
        found = []
        for line in lines:
            errno, at, data = line.split(b" ")
            found.append(Touched(int(errno), float(at), bytes.fromhex(data.decode())))
        return found

    def hang_up(self) -> None:
        """Tell it to begin nothing more and to end when its present call returns; earlier answers are still heard."""
        if self._commands is not None:
            os.close(self._commands)
            self._commands = None

    def end(self) -> None:
        """Hang up and hear nothing more. No signal is sent: it makes a blocked write worse (docs/decisions/0009)."""
        self.hang_up()
        os.close(self._answers)
        os.close(self._done)


class Crew:
    """Children that are started together, in one process that ends with the last of them."""

    def __init__(self, size: int, below: os.PathLike[str] | str | None = None) -> None:
        """Start the children and wait until they are ready.

        Args:
            below: they write attributes of `child_program.ATTRIBUTES` below this folder and nothing else; None: any
                file that exists.

        Raises:
            OSError: there are too many processes or open files, or they are not ready within `START` seconds.
        """
        folder = "" if below is None else os.path.abspath(below)
        theirs: list[tuple[int, int, int]] = []
        self.children: list[Child] = []
        try:
            for _ in range(size):
                pipes = make_pipes(3)
                theirs.append((pipes[0][0], pipes[1][1], pipes[2][1]))
                self.children.append(Child(pipes[0][1], pipes[1][0], pipes[2][0]))
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", "-c", _PROGRAM, folder, *(f"{a},{b},{c}" for a, b, c in theirs)],
                cwd="/",
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                # Not our own: a program that reads our output to its end would wait for a call that blocks.
                stderr=subprocess.DEVNULL,
                pass_fds=[fd for ends in theirs for fd in ends],
                start_new_session=True,
            )
            self._wait_until_there()
        except OSError:
            for child in self.children:
                child.end()
            raise
        finally:
            for ends in theirs:
                for fd in ends:
                    os.close(fd)

    def _wait_until_there(self) -> None:
        with cast("IO[bytes]", self._process.stdout) as there:
            if not _readable(there.fileno(), START):
                self._process.kill()  # safe: it has been asked for nothing yet
                self.leave(1.0)
                raise TimeoutError(errno.ETIMEDOUT, "a process that touches sysfs for us has not started")
            if not there.read(1):
                self.leave(1.0)
                raise OSError(errno.EAGAIN, "a process that touches sysfs for us has ended as it started")

    def ended(self) -> bool:
        """Whether its last child has ended."""
        return self._process.poll() is not None

    def leave(self, seconds: float) -> None:
        """Wait for the end of the process at most so long; a blocked one is left to its next parent."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.returncode = -9  # Do not wait for it: one of its calls is blocked in the kernel.
