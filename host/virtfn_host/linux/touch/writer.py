"""Every write to the kernel that may block, in a child process with a deadline.

A child that misses its deadline is abandoned; until its write comes back no further write starts on this node, because
it would queue behind the same node-wide lock, and be executed when that lock is freed, killed or not (measured).
"""

import errno as errnos
import os
import threading
import time
from collections.abc import Callable, Sequence

from virtfn_host.core.values.model import Stuck
from virtfn_host.linux.errors import HostError, StuckError, SysfsWriteError
from virtfn_host.linux.read.holding import Holding
from virtfn_host.linux.touch.child import Child, Crew
from virtfn_host.linux.touch.child_program import VALUE_LIMIT, forbidden
from virtfn_host.linux.touch.rounds import NOBODY, Lists, Who
from virtfn_host.linux.touch.rounds import Answer as Answer

MAX_CHILDREN = 32
"""Unbinding side by side pays: the time is mostly waiting (measured with 127 VFs: 0.44 s by 16 children, 0.36 s by 32,
and no less by 64 or 127)."""

HELD_AFTER = 5.0
"""Seconds after which a write counts as blocked, whatever its deadline, when somebody shows who holds what it wants."""


class Writer:
    """Writes with deadlines; refuses to start one while another is stuck. Safe to use from several threads."""

    def __init__(
        self,
        who: Who | None = None,
        held_after: float = HELD_AFTER,
        below: os.PathLike[str] | str | None = None,
    ) -> None:
        """`below`: the sysfs, of which nothing but the attributes in `child_program.ATTRIBUTES` is written; None: any
        file that exists, for who has no sysfs.
        """
        self._named = who
        self._held_after = held_after
        self._below = None if below is None else os.path.abspath(below)
        self._lock = threading.Lock()
        self._crews: list[Crew] = []
        self._idle: list[Child] = []
        self._stuck: dict[Child, tuple[str, str, float]] = {}

    def write(self, path: os.PathLike[str] | str, value: str, deadline: float) -> None:
        """One write(2) of `value` to an existing file, at most `deadline` seconds.

        Raises:
            SysfsWriteError: the kernel refused.
            StuckError: it, or an earlier write, is blocked inside the kernel.
        """
        self.write_all([(path, value)], deadline)

    def write_all(self, writes: Sequence[tuple[os.PathLike[str] | str, str]], deadline: float) -> None:
        """Several writes side by side, at most MAX_CHILDREN at once; `deadline` is for each.

        Raises:
            StuckError: one is blocked, or was before.
            SysfsWriteError: the first refusal in their order; all were tried.
        """
        errors = [error for error in self.write_each(writes, deadline) if error is not None]
        for error in sorted(errors, key=lambda error: not isinstance(error, StuckError)):
            raise error

    def write_each(
        self,
        writes: Sequence[tuple[os.PathLike[str] | str, str]],
        deadline: float,
        at_once: int = MAX_CHILDREN,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> list[Answer]:
        """The same with an answer for each, at most `at_once` side by side; after one that is late none is begun.

        A child gets its whole share in one message: waiting for every single answer cost more than the writes.
        `meanwhile` is called while they write.
        """
        if (stuck := self.stuck()) is not None:
            return [StuckError(f"not written: {stuck.text}") for _ in writes]
        texts = [(os.fspath(path), value) for path, value in writes]
        lists = Lists(texts, deadline, self._who, self._held_after)
        lists.answers |= {
            n: SysfsWriteError(*texts[n], errnos.EPERM) for n in range(len(texts)) if self._forbids(*texts[n])
        }
        allowed = [number for number in range(len(texts)) if number not in lists.answers]
        shares = [allowed[first::at_once] for first in range(min(at_once, len(allowed)))]
        for share in shares:
            try:
                lists.add(self._asked([texts[number] for number in share], len(shares)), share)
            except OSError as error:  # No process, so nothing of this share was begun.
                lists.answers |= {n: SysfsWriteError(*texts[n], error.errno or errnos.EAGAIN) for n in share}
        try:
            meanwhile()
        finally:
            # Whatever became of that: a write that is not heard to its end is one that nobody knows to be blocked.
            lists.carry_out()
            with self._lock:
                self._idle += lists.free
                self._stuck |= {some.child: (*texts[some.left[0]], some.since) for some in lists.blocked}
        late = next((error for error in lists.answers.values() if isinstance(error, StuckError)), None)
        missing = StuckError(f"not written: {late or 'another write came back only after its deadline'}")
        return [lists.answers.get(number, missing) for number in range(len(texts))]

    def _who(self, path: str, value: str) -> Holding | None:
        """Only a name for people: where it cannot be told, a blocked write is counted as one all the same."""
        try:
            return None if self._named is None else self._named(path, value)
        except (HostError, OSError, ValueError):
            return None

    def _forbids(self, path: str, value: str) -> bool:
        """Asked before the child, which asks again: one wall that has a hole is none."""
        if len(os.fsencode(value)) > VALUE_LIMIT:
            return True
        return self._below is not None and forbidden(os.fsencode(path), os.fsencode(self._below))

    def _asked(self, writes: list[tuple[str, str]], at_once: int) -> Child:
        """A child that begins these; one that was killed while it had nothing to do is not noticed by anybody."""
        while True:
            with self._lock:
                fresh = not self._idle
                if fresh:
                    self._start(at_once)
                child = self._idle.pop()
            try:
                child.ask(writes)
            except ChildProcessError:
                child.end()
                if fresh:
                    raise
                continue
            return child

    def _start(self, size: int) -> None:
        self._crews = [crew for crew in self._crews if not crew.ended()]
        crew = Crew(size, self._below)
        self._crews.append(crew)
        self._idle += crew.children

    def stuck(self) -> Stuck | None:
        """The longest blocked write, or None; a write that came back meanwhile is forgotten here."""
        with self._lock:
            for child in [child for child in self._stuck if child.heard()]:
                del self._stuck[child]
                child.end()
            if not self._stuck:
                return None
            path, value, since = min(self._stuck.values(), key=lambda entry: entry[2])
        seconds = time.monotonic() - since
        who = self._who(path, value)
        text = f"writing {value.strip()!r} to {path} is blocked in the kernel: {who.text if who else NOBODY}"
        return Stuck(path=path, value=value, seconds=round(seconds), text=text, held=who.functions if who else ())

    def close(self) -> None:
        """End the children; a stuck one ends when the kernel lets it go."""
        with self._lock:
            for child in (*self._idle, *self._stuck):
                child.end()
            for crew in self._crews:
                crew.leave(0.0 if self._stuck else 1.0)
            self._crews.clear()
            self._idle.clear()
            self._stuck.clear()
