"""Writes together what several threads bring at the same time: one write and one sync for all that wait.

A thread that comes while nothing is written writes at once. Those that come meanwhile wait for the disk anyway; the
first of them then writes for all.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from virtfn_host.linux.poolfile import PoolFileError

T = TypeVar("T")


class _Batch(Generic[T]):
    def __init__(self) -> None:
        self.items: list[T] = []
        self.begun = False
        self.error: PoolFileError | None = PoolFileError("its write did not come to an end")


class Together(Generic[T]):
    """Brings items to one writer, batch by batch."""

    def __init__(self, write: Callable[[Sequence[T]], None]) -> None:
        """Wire it up. `write` writes a batch whole, or raises PoolFileError and leaves nothing of it."""
        self._write = write
        self._guard = threading.Lock()
        self._next: _Batch[T] = _Batch()
        self.writing = threading.Lock()
        """Held while a batch is written; another thread that changes the file takes it, too."""

    def bring(self, item: T) -> None:
        """Return when the item is written.

        Raises:
            PoolFileError: its batch could not be written.
        """
        with self._guard:
            batch = self._next
            batch.items.append(item)
        with self.writing:
            if not batch.begun:
                self._write_batch(batch)
        if batch.error is not None:
            raise PoolFileError(str(batch.error)) from batch.error

    def _write_batch(self, batch: _Batch[T]) -> None:
        with self._guard:
            self._next = _Batch()
        batch.begun = True
        try:
            self._write(batch.items)
            batch.error = None
        except PoolFileError as error:
            batch.error = error
