"""Tells which process has a device node open, as /proc shows it: for names in messages, and to find cdevs that are open
but not bound, which show nowhere else. A process that may not be looked at is an error, never "no user".
"""

import errno
from collections.abc import Iterator, MutableMapping

from virtfn_host.core.values.holders import Process
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read.open_files import OpenFile, open_files, pids, process
from virtfn_host.linux.read.sysfs import Sysfs

MACHINES_OWN = "pid:[4026531836]"
"""The first PID namespace; its number is fixed (PROC_PID_INIT_INO in the kernel's proc_ns.h)."""


class OpenNodes:
    """The users of the device nodes of this machine, looked up when they are asked for."""

    def __init__(self, sysfs: Sysfs, last: MutableMapping[str, str] | None = None) -> None:
        """`last`: the process that had each node open at an earlier look. It is looked at first: reading the open files
        of every process takes long."""
        self._sysfs = sysfs
        self._last = {} if last is None else last
        self._users: dict[str, str] | None = None

    def user(self, path: str) -> Process | None:
        """Return the process that has a node open, or None.

        Raises:
            SysfsReadError: a process may not be looked at, so the answer is unknown.
        """
        if self._users is None and (pid := self._last.get(path)) is not None and self._has_open(pid, path):
            return process(self._sysfs, pid)
        if self._users is None:
            self._users = dict(self._found())
        if (pid := self._users.get(path)) is None:
            self._last.pop(path, None)
            return None
        self._last[path] = pid
        return process(self._sysfs, pid)

    def user_among_all(self, path: str) -> Process | None:
        """See `user`, where no process may be missed: the /proc of another PID namespace shows only its own processes.

        Raises:
            SysfsReadError: not every process of the machine can be looked at.
        """
        first = self._sysfs.proc / "1/ns/pid"
        if self._sysfs.link(first) != MACHINES_OWN:
            hidden = OSError(errno.ENOENT, "this /proc does not show every process of the machine")
            raise SysfsReadError(str(first), hidden)
        return self.user(path)

    def _has_open(self, pid: str, path: str) -> bool:
        return any(_node(file) == path for file in open_files(self._sysfs, pid))

    def _found(self) -> Iterator[tuple[str, str]]:
        known = tuple(pids(self._sysfs))
        if not known:
            raise SysfsReadError(str(self._sysfs.proc), OSError(errno.ENOENT, "no process is shown there"))
        for pid in known:
            for file in open_files(self._sysfs, pid):
                if file.target.startswith("/dev/"):
                    yield _node(file), pid


def _node(file: OpenFile) -> str:
    """The path of an open file; a node that was removed meanwhile is still open."""
    return file.target.removesuffix(" (deleted)")
