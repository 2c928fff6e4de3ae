"""Reads of attributes that hang behind a blocked write (`driver_override` on Linux 6.1), with a deadline."""

import errno as errnos
import os
from collections.abc import Iterator
from contextlib import contextmanager

from virtfn_host.core.address import PciAddress
from virtfn_host.linux.child import Child
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.sysfs import Sysfs, override_text

READ_DEADLINE = 2.0
"""Seconds; a read that does not hang takes well under a millisecond."""


class Reader:
    """Reads through a child; after one read hangs the next ones fail at once until it comes back."""

    def __init__(self, deadline: float = READ_DEADLINE) -> None:
        self._deadline = deadline
        self._child: Child | None = None
        self._hangs = False

    def read(self, path: os.PathLike[str] | str) -> str | None:
        """Contents without trailing white space, or None where there is no such file.

        Raises:
            SysfsReadError: it does not read, or not in time.
        """
        name = os.fspath(path)
        try:
            answer = self._ask(name)
        except ChildProcessError as error:
            self._child, self._hangs = None, False
            raise SysfsReadError(name, OSError(errnos.EIO, str(error))) from error
        if answer is None:
            self._hangs = True
            raise SysfsReadError(name, OSError(errnos.ETIMEDOUT, "no answer: a write is blocked on this node"))
        errno, data = answer
        if errno in (errnos.ENOENT, errnos.ENODEV):
            return None
        if errno:
            raise SysfsReadError(name, OSError(errno, os.strerror(errno)))
        return data.decode(errors="replace").rstrip()

    @property
    def hangs(self) -> bool:
        """Whether the last read has not come back yet."""
        return self._hangs

    def _ask(self, name: str) -> tuple[int, bytes] | None:
        if self._child is None:
            self._child = Child()
        if self._hangs:
            if self._child.answer(0) is None:
                return None
            self._hangs = False
        self._child.ask_read(name)
        return self._child.answer(self._deadline)

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.end()
            self._child.reap(0.0 if self._hangs else 1.0)
            self._child = None


class _PatientSysfs(Sysfs):
    def __init__(self, sysfs: Sysfs, reader: Reader) -> None:
        super().__init__(sysfs.sys, sysfs.dev, sysfs.proc)
        self._reader = reader

    def override(self, address: PciAddress) -> str | None:
        return override_text(self._reader.read(self.device(address, "driver_override")))


@contextmanager
def patient(sysfs: Sysfs) -> Iterator[Sysfs]:
    """The same machine, read with a deadline where a read may hang."""
    reader = Reader()
    try:
        yield _PatientSysfs(sysfs, reader)
    finally:
        reader.close()
