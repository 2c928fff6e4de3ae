"""The errors of the machine.

    HostError
    +-- SysfsReadError        a file exists and cannot be read
    +-- SysfsWriteError       the kernel refused a write; has its errno
    +-- FunctionInUseError    a function is in use, or may be
    +-- StaleSnapshotError    the machine changed between planning and applying
    +-- SettleTimeoutError    the kernel did not show the result of a step in time
    +-- StuckError            a write missed its deadline and is still in the kernel
    +-- DriverMadeOtherError  a write succeeded with another result
    |   +-- SettingMadeOtherError a link setting or an MTU was accepted, and is another one
    +-- TriedEnoughError      a destructive step was carried out often enough for one wish
    +-- TriesUnreadableError  it is not known how often a destructive step was carried out
    +-- BindFailedError       a driver refused a function
    +-- ModuleMissingError    modprobe could not load a module
    +-- DocumentError         a file of ours cannot be read or written
    +-- JournalUnreadableError  the originals cannot be read
    +-- AnotherWriterError    another process writes on this node
    +-- NetlinkError          netlink does not answer, or its library is missing
    |   +-- NetlinkRefusedError   netlink answered with an errno
    +-- LinkSettingRefusedError   a link setting of a VF could not be made
    +-- NotANameError         a text that is not a name was to become part of a path
    +-- NeededError           this machine needs a function, or may need it
    +-- DriverRefusedError    a driver or module is not allowed for a function
    +-- BusyError             too many requests at once

Each has a reason from the closed list. The message says what was wanted, where, what the kernel answered, and what to
try next.
"""

import errno as errnos
import os

from virtfn_host.core.checks.refusals import ENOTSUPP, Attempt, way_out, write_of
from virtfn_host.core.values.reasons import Reason


class HostError(Exception):
    """The base of all; `reason` is a word of the closed list."""

    reason: Reason = Reason.WRITE_REFUSED
    errno: int | None = None
    """The kernel's answer, if that is the cause."""


class SysfsReadError(HostError):
    """A file exists and could not be read."""

    reason = Reason.UNREADABLE

    def __init__(self, path: str, error: OSError) -> None:
        self.path, self.answer = path, str(error.strerror or error)
        self.errno = error.errno
        super().__init__(f"{path} could not be read: {self.answer}")

    @property
    def unsupported(self) -> bool:
        """Whether the driver answered that it has no such attribute."""
        return self.errno in (errnos.EOPNOTSUPP, ENOTSUPP)


class SysfsWriteError(HostError):
    """The kernel refused a write."""

    def __init__(self, path: str, value: str, errno: int) -> None:
        write = write_of(path, value)
        if errno == errnos.ENOENT and write in (Attempt.NUM_VFS, Attempt.NO_VFS):
            self.reason = Reason.SRIOV_UNSUPPORTED
        super().__init__(f"writing {value!r} to {path}: {errno_text(errno)}; {way_out(write, errno)}")
        self.path, self.value, self.errno = path, value, errno


class FunctionInUseError(HostError):
    """A function is in use, or may be; nothing was written."""

    reason = Reason.VFS_IN_USE


class StaleSnapshotError(HostError):
    """The machine is not as the step expects; look and plan again."""

    reason = Reason.STALE_SNAPSHOT


class SettleTimeoutError(HostError):
    """The kernel did not show the result of a step in time."""

    reason = Reason.SETTLE_TIMEOUT


class StuckError(HostError):
    """A write is blocked inside the kernel; no further PCI write starts on this node until it returns."""

    reason = Reason.STUCK


class DriverMadeOtherError(HostError):
    """The kernel accepted a write, and the result is not what was asked for."""

    reason = Reason.DRIVER_MADE_OTHER

    def __init__(self, message: str, num_vfs: int | None = None) -> None:
        """`num_vfs`: the number of VFs that there are, where that is the result."""
        super().__init__(message)
        self.num_vfs = num_vfs


class SettingMadeOtherError(DriverMadeOtherError):
    """The kernel accepted a link setting or an MTU, and shows another one. No other step of its PF is held up."""


class TriedEnoughError(HostError):
    """A destructive step was carried out often enough for one wish; nothing was written."""

    reason = Reason.DRIVER_MADE_OTHER


class TriesUnreadableError(HostError):
    """The file of tries cannot be read or written. It is kept, and nothing destructive is done."""

    reason = Reason.UNREADABLE


class BindFailedError(HostError):
    """A driver did not take a function."""

    reason = Reason.BIND_FAILED


class DriverNotThereError(HostError):
    """A module was loaded and registered no driver of the name that was asked for."""

    reason = Reason.DRIVER_MISSING


class ModuleMissingError(HostError):
    """A module could not be loaded."""

    reason = Reason.MODULE_MISSING


class DocumentError(HostError):
    """A file of ours exists and is not a document of ours, or cannot be written."""

    reason = Reason.UNREADABLE

    def __init__(self, path: object, done: str, error: Exception) -> None:
        answer = error.strerror if isinstance(error, OSError) else None
        super().__init__(f"{path} cannot be {done}: {answer or error}")


class JournalUnreadableError(HostError):
    """The journal exists and cannot be read, or cannot be written. It is kept, and nothing is touched."""

    reason = Reason.JOURNAL_UNREADABLE


class AnotherWriterError(HostError):
    """Another process writes on this node; two writers would undo each other's changes."""

    reason = Reason.ANOTHER_WRITER


class NetlinkError(HostError):
    """Netlink could not be asked, or did not answer in time."""

    reason = Reason.UNREADABLE


class NetlinkRefusedError(NetlinkError):
    """Netlink answered with an errno."""

    def __init__(self, errno: int, text: str = "") -> None:
        what = f"{text}: " if text else ""
        super().__init__(f"netlink: {what}{errno_text(errno)}")
        self.errno: int = errno


class LinkSettingRefusedError(HostError):
    """A link setting of a VF could not be made, so the VF is not offered. No other step of its PF is held up."""

    reason = Reason.LINK_SETTING_REFUSED


class NotANameError(HostError):
    """A text that is not a name was to become part of a path."""


class NeededError(HostError):
    """This machine needs a function, or may need it; nothing was written."""

    reason = Reason.NEEDED_BY_MACHINE


class DriverRefusedError(HostError):
    """A driver or module is not allowed for a function; nothing was written."""

    reason = Reason.BIND_FAILED


class BusyError(HostError):
    """Too many requests at once; nothing was begun."""

    reason = Reason.HOST_UNREACHABLE


def errno_text(number: int) -> str:
    """Return text and name of an errno: `Operation not supported (EOPNOTSUPP)`, which Python alone calls ENOTSUP, and
    which drivers answer with a number that the C library does not know, too."""
    if number == ENOTSUPP:
        return f"{os.strerror(errnos.EOPNOTSUPP)} (ENOTSUPP)"
    name = "EOPNOTSUPP" if number == errnos.EOPNOTSUPP else errnos.errorcode.get(number, str(number))
    return f"{os.strerror(number)} ({name})"
