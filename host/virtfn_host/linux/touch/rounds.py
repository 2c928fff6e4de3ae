"""Lists of writes, one for each child, carried out side by side until every write has an answer or its child is late.

Knows only its own round; `writer.py` knows the writes that are blocked since earlier rounds.
"""

import errno as errnos
import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from virtfn_host.linux.errors import StuckError, SysfsWriteError
from virtfn_host.linux.read.holding import Holding
from virtfn_host.linux.touch.child import Child

NOBODY = "no process can be seen that has the device open"

Who = Callable[[str, str], Holding | None]
"""Tells who holds the function that a write of this value to this path waits for; None: no holder shows."""

Answer = SysfsWriteError | StuckError | None
"""The outcome of a write; None: success."""


@dataclass(slots=True, kw_only=True)
class WriteList:
    """The writes of one child, done one after the other."""

    child: Child
    left: deque[int]
    """Numbers of the writes that the child has not answered, in its order."""
    since: float = field(default_factory=time.monotonic)
    """When the first of these began, which is when the write before it returned."""


class Lists:
    """One round of writes; `carry_out` fills `answers`, `free` and `blocked`."""

    def __init__(self, writes: Sequence[tuple[str, str]], deadline: float, who: Who, held_after: float) -> None:
        self._writes = writes
        self._deadline = deadline
        self._who = who
        self._held_after = min(held_after, deadline)
        self._slow: set[int] = set()
        """Writes that have taken `held_after` seconds while no holder showed."""
        self._working: dict[int, WriteList] = {}
        self._hung_up = False
        self.answers: dict[int, Answer] = {}
        """By number. A write without an answer was never begun, because another one was late."""
        self.free: list[Child] = []
        self.blocked: list[WriteList] = []
        """Lists whose first write is still in the kernel."""

    def add(self, child: Child, numbers: Sequence[int]) -> None:
        """Add a child that was asked for these writes."""
        self._working[child.fileno()] = WriteList(child=child, left=deque(numbers))

    def carry_out(self) -> None:
        """Hear every child to its end; after the first late write, tell all to begin nothing more."""
        poll = select.poll()
        for fileno in self._working:
            poll.register(fileno, select.POLLIN)
        while self._working:
            until = min(map(self._due, self._working.values()))
            ended = [fileno for fileno, _ in poll.poll(max(0.0, until - time.monotonic()) * 1000)]
            for fileno in ended:
                self._finish(self._working[fileno])
            late = [] if ended else [fileno for fileno, some in self._working.items() if self._is_late(some)]
            silent = [] if ended else [fileno for fileno, some in self._working.items() if self._is_silent(some)]
            for fileno in late if self._hung_up else ():
                self._give_up(self._working[fileno])
            for fileno in silent:
                self._working[fileno].child.end()
            for fileno in [*ended, *silent, *late] if self._hung_up else [*ended, *silent]:
                poll.unregister(fileno)
                del self._working[fileno]
            if late and not self._hung_up:
                self._hung_up = True
                for some in self._working.values():
                    some.child.hang_up()

    def _due(self, some: WriteList) -> float:
        patience = self._deadline if not some.left or some.left[0] in self._slow else self._held_after
        return some.since + patience

    def _is_late(self, some: WriteList) -> bool:
        """Whether the child's present write began too long ago.

        A child looks for a hang-up after an answer and before the next write. So a child that is late after the
        hang-up is at the first write that it has not answered, and has begun no other.
        """
        while some.left and some.child.heard() and self._hear(some):
            pass
        if not some.left or time.monotonic() < self._due(some):
            return False
        if time.monotonic() >= some.since + self._deadline:
            return True
        # A holder that shows decides at once. Without one, a slow card keeps its whole deadline.
        if self._who(*self._writes[some.left[0]]) is not None:
            return True
        self._slow.add(some.left[0])
        return False

    def _is_silent(self, some: WriteList) -> bool:
        """Whether the child has answered everything but does not report the end of its list: it was killed in between,
        and its process lives on in the kernel, so that its end does not show.
        """
        return not some.left and time.monotonic() >= self._due(some)

    def _hear(self, some: WriteList) -> bool:
        """Take the answers so far; False when the child has ended."""
        found = some.child.answers()
        for touched in found or ():
            number = some.left.popleft()
            self.answers[number] = SysfsWriteError(*self._writes[number], touched.errno) if touched.errno else None
            some.since = touched.at
        return found is not None

    def _finish(self, some: WriteList) -> None:
        """Close the list of a child that is done with it or has ended early."""
        some.child.done()
        while some.left and self._hear(some):
            pass
        if not some.left and not self._hung_up:
            self.free.append(some.child)
            return
        some.child.end()
        if not self._hung_up:
            self._was_killed(some)

    def _was_killed(self, some: WriteList) -> None:
        """Answer for a child that was killed: its present write may have reached the kernel, the rest was not begun."""
        for place, number in enumerate(some.left):
            errno = errnos.ECANCELED if place else errnos.EINTR
            self.answers[number] = SysfsWriteError(*self._writes[number], errno)

    def _give_up(self, some: WriteList) -> None:
        path, value = self._writes[some.left[0]]
        who = self._who(path, value)
        text = f"writing {value.strip()!r} to {path} has not returned in {time.monotonic() - some.since:.0f} s"
        self.answers[some.left[0]] = StuckError(f"{text}: {who.text if who else NOBODY}")
        self.blocked.append(some)
