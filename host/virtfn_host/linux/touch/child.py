"""Children that touch sysfs files in another process, so that a touch that blocks is not ours.

A blocked read or write cannot be killed, and a thread of ours in it would keep this process, and so its pod, from
ending. The process holds none of our file descriptors and lives in a session of its own. A child is a thread of it that
is reused and takes a whole list at a time; a crew of them is one process, because going from process to process cost
more than the touches (measured: 127 unbinds by 32 processes 0.44 s, by 32 threads of one 0.37 s).
"""

import errno
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, cast

from virtfn_host.linux.touch.child_program import HEAD, TOUCH

_PROGRAM = Path(__file__).with_name("child_program.py").read_text(encoding="utf-8")
"""What they run, and what is said to them and by them; read once, as this process began."""

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
"""All that a program which we start finds: nothing of what somebody told us is configuration of it."""

START = 60.0
"""Seconds for the start of a crew. A node that is short of CPU took 3 (measured), so it must not count as writing."""


@dataclass(frozen=True, slots=True)
class Touched:
    """What a child answers."""

    errno: int
    """0: it worked."""
    at: float
    """When it returned, by time.monotonic."""
    data: bytes
    """What was read."""


def _readable(fd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(0.0, seconds) * 1000))


def _told(touch: tuple[str, str | None]) -> bytes:
    """One touch in the child's words; what is no Unicode is said as the kernel says it."""
    path, value = os.fsencode(touch[0]), None if touch[1] is None else os.fsencode(touch[1])
    return TOUCH.pack(len(path), -1 if value is None else len(value)) + path + (value or b"")


def make_pipes(number: int) -> list[tuple[int, int]]:
    """Pipes to a child, each its reading and its writing end: all, or none where there is no room for the last.

    Raises:
        OSError: there is none.
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
    """One of them; `ask`, wait until it is `done`, take as many `answers` as were asked for."""

    def __init__(self, commands: int, answers: int, done: int) -> None:
        self._commands: int | None = commands
        self._answers = answers
        self._done = done
        self._heard = b""

    def ask(self, touches: Sequence[tuple[str, str | None]]) -> None:
        """Begin one write(2) of each value to its file, in this order; None: one read(2) of at most 64 KiB.

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
        """What has returned; blocks until there is something.

        None: the child has ended, and what it has not answered was not begun, but for the first if it was killed.
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
        """Let it begin nothing more, and end when what it is at returns; what returned before is still heard."""
        if self._commands is not None:
            os.close(self._commands)
            self._commands = None

    def end(self) -> None:
        """Hang up and hear nothing more. No signal: a blocked write would get worse by it (docs/decisions/0009)."""
        self.hang_up()
        os.close(self._answers)
        os.close(self._done)


class Crew:
    """Children of one start, in one process that ends with the last of them."""

    def __init__(self, size: int, below: os.PathLike[str] | str | None = None) -> None:
        """Start them, and wait until they are there.

        Args:
            below: they write attributes of `child_program.ATTRIBUTES` below this folder and nothing else; None: any
                file that exists.

        Raises:
            OSError: there are too many processes or open files, or it is not there within `START` seconds.
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
                # Not ours: whoever reads what we print to its end would wait for a touch that blocks.
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
                self._process.kill()  # it has been asked for nothing yet
                self.leave(1.0)
                raise TimeoutError(errno.ETIMEDOUT, "a process that touches sysfs for us has not started")
            if not there.read(1):
                self.leave(1.0)
                raise OSError(errno.EAGAIN, "a process that touches sysfs for us has ended as it started")

    def ended(self) -> bool:
        """Whether its last child is gone."""
        return self._process.poll() is not None

    def leave(self, seconds: float) -> None:
        """Wait for its end at most so long; one that is blocked is left to whoever becomes its parent."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.returncode = -9  # Not ours to wait for: a touch of it sits in the kernel.
