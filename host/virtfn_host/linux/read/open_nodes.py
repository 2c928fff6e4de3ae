"""Tells which process has a device node open, as /proc shows it: for names in messages, and to find cdevs that are open
but not bound, which show nowhere else. A process that may not be looked at is an error, never "no user".
"""

import errno
from collections.abc import Iterator

from virtfn_host.core.values.holders import Process
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read.open_files import open_files, pids, process
from virtfn_host.linux.read.sysfs import Sysfs

MACHINES_OWN = "pid:[4026531836]"
"""The first PID namespace; its number is fixed (PROC_PID_INIT_INO in the kernel's proc_ns.h)."""


class OpenNodes:
    """The users of the device nodes of this machine; the first question looks them up."""

    def __init__(self, sysfs: Sysfs) -> None:
        self._sysfs = sysfs
        self._users: dict[str, Process] | None = None

    def user(self, path: str) -> Process | None:
        """Return the process that has a node open, or None.

        Raises:
            SysfsReadError: a process may not be looked at, so the answer is unknown.
        """
        if self._users is None:
            self._users = dict(self._found())
        return self._users.get(path)

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

    def _found(self) -> Iterator[tuple[str, Process]]:
        known = tuple(pids(self._sysfs))
        if not known:
            raise SysfsReadError(str(self._sysfs.proc), OSError(errno.ENOENT, "no process is shown there"))
        for pid in known:
            for file in open_files(self._sysfs, pid):
                if file.target.startswith("/dev/"):
                    # A node that was removed meanwhile is still open.
                    yield file.target.removesuffix(" (deleted)"), process(self._sysfs, pid)
