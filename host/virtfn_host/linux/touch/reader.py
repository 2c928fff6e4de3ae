"""Reads attributes that may hang, with a deadline: behind a blocked write, or a driver that hangs under a lock."""

import errno as errnos
import os
import threading
from collections.abc import Callable, Sequence

from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.touch.child import Child, Crew, Touched

READ_DEADLINE = 2.0
"""Seconds; a read that does not hang takes well under a millisecond."""

NOTHING = "/dev/null"
"""No file is below it, so these children can write nothing."""

CREW = 7
"""Children of one process, which takes 4 MB: a host process has a reader for its looks and one for its steps, each with
three children (`Reader.of`), and one for the canary. Each may read while the others do."""


class Reader:
    """Reads through a child; after one read hangs, further ones fail at once until that one returns."""

    def __init__(self, deadline: float = READ_DEADLINE) -> None:
        self._deadline = deadline
        self._children = _Children()
        self._kinds: dict[str, Reader] = {}
        self._child: Child | None = None
        self._hangs = False

    def another(self, deadline: float = READ_DEADLINE) -> "Reader":
        """Return another reader, whose child is in the same process as long as there is room in it.

        Neither waits for the other, and each is closed for itself.
        """
        made = Reader(deadline)
        made._children = self._children
        return made

    def of(self, kind: str) -> "Reader":
        """Return the reader for one kind of attribute, which is made at the first call and closed with this one.

        A read that hangs makes further reads of its kind fail at once, and no others.
        """
        if kind not in self._kinds:
            self._kinds[kind] = self.another(self._deadline)
        return self._kinds[kind]

    def read(self, path: os.PathLike[str] | str) -> str | None:
        """Contents without trailing white space, or None where there is no such file.

        Raises:
            SysfsReadError: the read failed, or did not return in time.
        """
        (answer,) = self.read_each([path])
        if isinstance(answer, SysfsReadError):
            raise answer
        return answer

    @property
    def hangs(self) -> bool:
        """Whether the last read has not returned yet."""
        return self._hangs

    def read_each(
        self, paths: Sequence[os.PathLike[str] | str], meanwhile: Callable[[], object] = lambda: None
    ) -> list[str | SysfsReadError | None]:
        """Read several files, asked for in one message; an answer for each, an error where the read failed.

        `meanwhile` is called while they are read.
        """
        names = [os.fspath(path) for path in paths]
        try:
            found = self._answers(names, meanwhile)
            text = "no answer: a write is blocked on this node, or a driver hangs"
            lost = OSError(errnos.ETIMEDOUT, text)
        except OSError as error:
            found, lost = [], OSError(errnos.EIO, f"no process to read with: {error}")
        answers: list[str | SysfsReadError | None] = [_read(n, t) for n, t in zip(names, found, strict=False)]
        return answers + [SysfsReadError(name, lost) for name in names[len(found) :]]

    def _answers(self, names: list[str], meanwhile: Callable[[], object]) -> list[Touched]:
        """The answers that came in time, for the first of `names`."""
        if not names:
            return []
        if self._hangs:
            if self._child is not None and not self._child.heard():
                return []
            self._let_go()
        if self._child is None:
            self._child = self._children.take()
        found: list[Touched] = []
        try:
            self._child.ask([(name, None) for name in names])
            meanwhile()
            while len(found) < len(names):
                if not self._child.heard(self._deadline):
                    # It must not begin the others when this read returns: their answers are no longer wanted.
                    self._child.hang_up()
                    self._hangs = True
                    return found
                if (some := self._child.answers()) is None:
                    raise ChildProcessError("it was killed")
                found += some
            self._child.done()
        except BaseException as error:
            # Its late answers would be taken for answers to the next question.
            self._let_go(killed=isinstance(error, ChildProcessError))
            raise
        return found

    def _let_go(self, *, killed: bool = False) -> None:
        if self._child is not None:
            self._children.let_go(self._child, killed=killed)
        self._child = None
        self._hangs = False

    def close(self) -> None:
        """End the child, and those of its kinds."""
        for reader in self._kinds.values():
            reader.close()
        self._kinds.clear()
        self._let_go()


class _Children:
    """The children of readers that were made of each other, and their processes. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._crews: list[Crew] = []
        self._idle: list[tuple[Crew, Child]] = []
        self._taken: dict[Child, Crew] = {}

    def take(self) -> Child:
        """Return a child that no other reader has.

        Raises:
            OSError: there is none, and no process for more.
        """
        with self._lock:
            self._end_idle([crew for crew, _ in self._idle if crew.ended()])
            if not self._idle:
                crew = Crew(CREW, NOTHING)
                self._crews = [*(crew for crew in self._crews if not crew.ended()), crew]
                self._idle = [(crew, child) for child in crew.children]
            crew, child = self._idle.pop()
            self._taken[child] = crew
            return child

    def let_go(self, child: Child, *, killed: bool) -> None:
        """End a child, and with the last one its process; one that hangs ends when its read returns.

        Args:
            killed: its process was; the kernel may not have taken it apart yet, but its other children are of no use.
        """
        child.end()
        with self._lock:
            crew = self._taken.pop(child)
            if killed:
                self._end_idle([crew])
            if not self._taken:
                self._end_idle(self._crews)
                for crew in self._crews:
                    crew.leave(1.0)
                self._crews.clear()

    def _end_idle(self, crews: Sequence[Crew]) -> None:
        for crew, child in self._idle:
            if crew in crews:
                child.end()
        self._idle = [idle for idle in self._idle if idle[0] not in crews]


def _read(name: str, touched: Touched) -> str | SysfsReadError | None:
    if touched.errno in (errnos.ENOENT, errnos.ENODEV):
        return None
    if touched.errno:
        return SysfsReadError(name, OSError(touched.errno, os.strerror(touched.errno)))
    try:
        return touched.data.decode().rstrip()
    except UnicodeDecodeError as error:  # such a value could not be written back unchanged
        return SysfsReadError(name, OSError(errnos.EILSEQ, f"is not text: {error.reason}"))
