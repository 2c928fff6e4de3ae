"""The files that the processes of this machine have open, as /proc shows them."""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from virtfn_host.core.values.holders import Process
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read.sysfs import Sysfs

_UID = r"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}"
_POD_CGROUP = re.compile(rf"/(?:[a-z-]+-)?pod({_UID})(?:\.slice)?(?:/|$)", re.MULTILINE)
"""The cgroup of a pod as the kubelet names it: `/kubepods/burstable/podUID`, or with systemd
`/kubepods-burstable-podUID.slice`, where a `-` would be a folder and `_` stands for it (pkg/kubelet/cm)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFile:
    """One file descriptor of one process."""

    pid: str
    target: str
    """As /proc shows it: `/dev/vfio/11`, `anon_inode:[vfio-device]`; a path that is gone ends in ` (deleted)`."""
    writable: bool


def pids(sysfs: Sysfs) -> Iterator[str]:
    """The numbers of all processes."""
    return (name for name in sysfs.names(sysfs.proc) or () if name.isdecimal())


def open_files(sysfs: Sysfs, pid: str) -> Iterator[OpenFile]:
    """The open files of one process; none where it has ended.

    Raises:
        SysfsReadError: the process may not be looked at.
    """
    for link in _links(sysfs, pid):
        try:
            # The permission bits of the link are the mode that the file was opened with (proc(5)).
            target, mode = os.readlink(link), os.lstat(link).st_mode
        except (FileNotFoundError, ProcessLookupError):
            continue
        except OSError as error:
            raise SysfsReadError(link, error) from error
        # The name may be any bytes; messages need text.
        target = os.fsencode(target).decode(errors="replace")
        yield OpenFile(pid=pid, target=target, writable=bool(mode & stat.S_IWUSR))


def _links(sysfs: Sysfs, pid: str) -> Iterator[str]:
    """Links to the open files. The first thread shows them; a killed process may have lost that thread while another
    one is still blocked in the kernel, and then each thread is read."""
    folders = [f"{sysfs.proc}/{pid}/fd"]
    if not sysfs.names(folders[0]):
        folders = [f"{sysfs.proc}/{pid}/task/{thread}/fd" for thread in sysfs.names(f"{sysfs.proc}/{pid}/task") or ()]
    return (f"{folder}/{name}" for folder in folders for name in sysfs.names(folder) or ())


def process(sysfs: Sysfs, pid: str) -> Process:
    """Name a process; the command is None if it has ended meanwhile."""
    command = sysfs.read(sysfs.proc / pid / "comm")
    return Process(pid=int(pid), command=command.strip() if command else None, pod_uid=_pod_uid(sysfs, pid))


def _pod_uid(sysfs: Sysfs, pid: str) -> str | None:
    """Return the uid of the pod in whose cgroup the process is."""
    try:
        cgroups = sysfs.read(sysfs.proc / pid / "cgroup")
    except SysfsReadError:
        return None  # the process is a holder all the same, of no known pod
    found = _POD_CGROUP.search(cgroups or "")
    return found[1].replace("_", "-") if found else None
