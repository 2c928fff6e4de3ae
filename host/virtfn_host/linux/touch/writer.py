"""Writes to sysfs in child processes with a deadline, because every such write may block.

A child that misses its deadline is abandoned. Until its write returns, no further write starts on this node: it would
queue behind the same node-wide lock and be executed when that lock is freed (measured: tests/contract/test_stuck.py).
The package docstring (`linux/touch/__init__.py`) has the whole theory.
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
"""Unbinding side by side is faster, because the time is mostly waiting (measured by hand, 127 emulated NVMe VFs: 0.44 s
by 16 children, 0.36 s by 32, no less by 64 or 127; docs/decisions/0009)."""

HELD_AFTER = 5.0
"""Seconds after which a write counts as blocked, whatever its deadline, if a function that it waits for is open."""


class Writer:
    """Writes with deadlines; starts no write while another one is stuck. Safe to use from several threads."""

    def __init__(
        self,
        who: Who | None = None,
        held_after: float = HELD_AFTER,
        below: os.PathLike[str] | str | None = None,
    ) -> None:
        """Write attributes of `child_program.ATTRIBUTES` in the sysfs `below` and nothing else; None: any file that
        exists, for callers without a sysfs.
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
            SysfsWriteError: refused by the kernel.
            StuckError: this or an earlier write is blocked inside the kernel.
        """
        self.write_all([(path, value)], deadline)

    def write_all(self, writes: Sequence[tuple[os.PathLike[str] | str, str]], deadline: float) -> None:
        """Do several writes side by side, at most MAX_CHILDREN at once; `deadline` is for each.

        Raises:
            StuckError: one of them, or an earlier write, is blocked.
            SysfsWriteError: the first refusal, in their order; all were tried.
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
        """Do several writes, at most `at_once` side by side, and return an answer for each; after a late write no
        other is begun.

        A child gets its whole share in one message: to wait for every single answer took longer than the writes.
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
            # Even if that failed: a write that is not heard to its end could block without our knowing.
            lists.carry_out()
            with self._lock:
                self._idle += lists.free
                self._stuck |= {some.child: (*texts[some.left[0]], some.since) for some in lists.blocked}
        late = next((error for error in lists.answers.values() if isinstance(error, StuckError)), None)
        missing = StuckError(f"not written: {late or 'another write came back only after its deadline'}")
        return [lists.answers.get(number, missing) for number in range(len(texts))]

    def _who(self, path: str, value: str) -> Holding | None:
        """The holder that a message names. If it cannot be found, the write still counts as late."""
        try:
            return None if self._named is None else self._named(path, value)
        except (HostError, OSError, ValueError):
            return None

    def _forbids(self, path: str, value: str) -> bool:
        """Whether the write is refused before the child gets it; the child checks again."""
        if len(os.fsencode(value)) > VALUE_LIMIT:
            return True
        return self._below is not None and forbidden(os.fsencode(path), os.fsencode(self._below))

    def _asked(self, writes: list[tuple[str, str]], at_once: int) -> Child:
        """A child that begins these writes. An idle child may have been killed, which shows only now."""
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
        """The longest blocked write, or None; writes that have returned since are forgotten."""
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
        """End the children; a stuck one ends when its write returns."""
        with self._lock:
            for child in (*self._idle, *self._stuck):
                child.end()
            for crew in self._crews:
                crew.leave(0.0 if self._stuck else 1.0)
            self._crews.clear()
            self._idle.clear()
            self._stuck.clear()
