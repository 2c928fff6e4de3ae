"""Watches the kubelet's device plugin folder: which kubelet listens there, and whether the folder is still the node's.

A kubelet is recognised by its socket, `kubelet.sock`: a kubelet that restarts removes every socket of the folder and
makes its own anew. A socket is recognised by inode and modification time, because file systems reuse inode numbers.
ctime is not used: a relabel or chmod of the same socket changes it.

A container keeps the folder that existed when the container was made. If the folder is removed or renamed on the node
(kubeadm reset, a clean-up script), the mount shows the old folder for ever. Then this process must end, so that the
kubelet makes the container anew.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

DELETED = "//deleted"
"""The end of a removed folder's path in mountinfo, added by the kernel (show_mountinfo, d_path)."""


class StaleFolderError(Exception):
    """The folder that this process sees is not the node's any more; the message says what happens next."""


class NoKubeletError(OSError):
    """No kubelet listens on kubelet.sock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletSocket:
    """The socket of one kubelet process. Another socket means another kubelet, or a restarted one."""

    device: int
    inode: int
    made_ns: int
    """Modification time in nanoseconds; for a socket this is the time at which it was made."""


class KubeletFolder:
    """The folder and its kubelet. The manager looks at it; the servers wait for its changes."""

    def __init__(self, path: Path, proc: Path = Path("/proc"), clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._mountinfo = proc / "self/mountinfo"
        self._clock = clock
        self._mounted = self._mount()
        self._moved = asyncio.Event()
        self.current = self._socket()
        """The kubelet's socket at the last look."""
        self._silent_since = clock() if self.current is None else None

    def _socket(self) -> KubeletSocket | None:
        try:
            found = (self.path / "kubelet.sock").stat()
        except OSError:
            return None
        return KubeletSocket(device=found.st_dev, inode=found.st_ino, made_ns=found.st_mtime_ns)

    def look(self) -> KubeletSocket | None:
        """Return the kubelet's socket now, or None; wake the tasks that wait for another socket."""
        found = self._socket()
        if found == self.current:
            return found
        self.current = found
        if found is None:
            self.silent()
        else:
            self._silent_since = None
        self._moved.set()
        self._moved = asyncio.Event()
        return found

    async def another(self, than: KubeletSocket | None) -> None:
        """Wait until a look finds another socket than this one."""
        while self.current is None or self.current == than:
            await self._moved.wait()

    # --- whether a kubelet is there ---------------------------------------------------------------------------------

    def answered(self) -> None:
        """Note that a kubelet listens here."""
        self._silent_since = None

    def silent(self) -> None:
        """Note that no kubelet listens here. Of several such notes in a row the first one counts."""
        if self._silent_since is None:
            self._silent_since = self._clock()

    @property
    def silent_for(self) -> float:
        """Seconds since a kubelet last listened here; 0 while one listens."""
        return 0.0 if self._silent_since is None else self._clock() - self._silent_since

    # --- whether it is the node's folder ----------------------------------------------------------------------------

    def expect_fresh(self) -> None:
        """Raise StaleFolderError when the folder was removed or renamed on the node after it was mounted here."""
        mount = self._mount()
        if self._removed() or (mount is not None and mount.endswith(DELETED)):
            raise StaleFolderError(self._told("was removed on the node"))
        if mount is not None and self._mounted is not None and mount != self._mounted:
            raise StaleFolderError(self._told(f"was moved on the node, from {self._mounted} to {mount}"))

    def _removed(self) -> bool:
        try:
            return self.path.stat().st_nlink == 0
        except OSError:
            return False  # the folder does not exist, so it is not mounted; it may come later

    def _told(self, what: str) -> str:
        text = f"{self.path} {what}, so the kubelet's new folder cannot be seen from this container"
        return f"{text}; this process ends, so that the container is made anew with the folder that is there now"

    def _mount(self) -> str | None:
        """Return the path of the mounted folder in its file system, or None if nothing is mounted at exactly this path.

        Fields of a line (proc_pid_mountinfo(5)): id, parent, device, root, mount point, ...
        """
        try:
            lines = self._mountinfo.read_text(errors="replace").splitlines()
        except OSError:
            return None
        found = [fields for line in lines if len(fields := line.split(" ")) > 4 and fields[4] == str(self.path)]
        return found[-1][3] if found else None
