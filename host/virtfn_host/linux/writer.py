"""Every write to the kernel that may block, in a child process with a deadline.

A child that misses its deadline is abandoned; until it comes back no further write starts on this node, because it
would queue behind the same node-wide lock, and be executed when that lock is freed, killed or not (measured).
"""

import os
import threading
import time
from collections.abc import Callable, Sequence

from virtfn_host.core.model import Stuck
from virtfn_host.linux.child import Child
from virtfn_host.linux.errors import StuckError, SysfsWriteError
from virtfn_host.linux.holding import Holding

MAX_CHILDREN = 16
"""Unbinding side by side pays up to 16 at once: the time is waiting, not CPU (measured with 127 VFs)."""

HELD_AFTER = 5.0
"""Seconds after which a write counts as blocked, whatever its deadline, when somebody shows who holds what it wants."""

NOBODY = "nobody shows that has the device open"

Who = Callable[[str, str], Holding | None]
"""Who holds what a write of this value to this path waits for; None: nobody shows."""


class Writer:
    """Writes with deadlines; refuses to start one while another is stuck. Safe to use from several threads."""

    def __init__(self, who: Who | None = None, held_after: float = HELD_AFTER) -> None:
        self._who = who or (lambda *_: None)
        self._held_after = held_after
        self._lock = threading.Lock()
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
        self, writes: Sequence[tuple[os.PathLike[str] | str, str]], deadline: float
    ) -> list[SysfsWriteError | StuckError | None]:
        """The same, with an answer for each; after one that is blocked no further ones are started."""
        answers: list[SysfsWriteError | StuckError | None] = []
        for start in range(0, len(writes), MAX_CHILDREN):
            batch = [(os.fspath(p), v) for p, v in writes[start : start + MAX_CHILDREN]]
            if (stuck := self.stuck()) is not None:
                answers += [StuckError(f"not written: {stuck.text}") for _ in batch]
            else:
                answers += self._batch(batch, deadline)
        return answers

    def _batch(self, writes: list[tuple[str, str]], deadline: float) -> list[SysfsWriteError | StuckError | None]:
        running = []
        for path, value in writes:
            child = self._child()
            child.ask_write(path, value)
            running.append((child, path, value))
        until = time.monotonic() + deadline
        answers: list[SysfsWriteError | StuckError | None] = []
        for child, path, value in running:
            answer = self._awaited(child, path, value, until - deadline, until)
            if answer is None:
                with self._lock:
                    self._stuck[child] = (path, value, until - deadline)
                waited = time.monotonic() - (until - deadline)
                text = f"writing {value.strip()!r} to {path} has not returned in {waited:.0f} s"
                answers.append(StuckError(f"{text}: {self._told(path, value)}"))
                continue
            with self._lock:
                self._idle.append(child)
            answers.append(SysfsWriteError(path, value, answer[0]) if answer[0] else None)
        return answers

    def _awaited(self, child: Child, path: str, value: str, began: float, until: float) -> tuple[int, bytes] | None:
        """None when it is blocked. One that somebody holds up is known to be so long before the slowest healthy one."""
        look_at = min(began + self._held_after, until)
        answer = child.answer(look_at - time.monotonic())
        if answer is not None or self._who(path, value) is not None:
            return answer
        return child.answer(until - time.monotonic())

    def stuck(self) -> Stuck | None:
        """The longest blocked write, or None; a write that came back meanwhile is forgotten here."""
        with self._lock:
            for child in list(self._stuck):
                if child.answer(0) is not None:
                    del self._stuck[child]
                    self._idle.append(child)
            if not self._stuck:
                return None
            path, value, since = min(self._stuck.values(), key=lambda entry: entry[2])
        seconds = time.monotonic() - since
        who = self._who(path, value)
        text = f"writing {value.strip()!r} to {path} is blocked in the kernel: {who.text if who else NOBODY}"
        return Stuck(path=path, value=value, seconds=round(seconds), text=text, held=who.functions if who else ())

    def _told(self, path: str, value: str) -> str:
        who = self._who(path, value)
        return who.text if who else NOBODY

    def close(self) -> None:
        """End the children; a stuck one ends when the kernel lets it go."""
        with self._lock:
            for child in (*self._idle, *self._stuck):
                child.end()
                child.reap(0.0 if child in self._stuck else 1.0)
            self._idle.clear()
            self._stuck.clear()

    def _child(self) -> Child:
        with self._lock:
            return self._idle.pop() if self._idle else Child()
