"""Watches the kubelet's device plugin folder: which kubelet listens there.

A kubelet is recognised by its socket, `kubelet.sock`: a kubelet that restarts removes every socket of the folder and
makes its own anew. A socket is recognised by inode and modification time, because file systems reuse inode numbers.
ctime is not used: a relabel or chmod of the same socket changes it.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


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

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
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
