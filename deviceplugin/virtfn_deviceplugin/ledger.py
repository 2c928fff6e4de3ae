"""What was handed out, on disk before the kubelet hears of it: until podresources lists a pod, only this knows."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from virtfn_host.core.address import PciAddress
from virtfn_host.core.offered import Allocation, Ledger
from virtfn_host.linux import poolfile

KEPT_SECONDS = 600.0
"""The agent looks at the last minute; the rest is for whoever debugs."""


class LedgerFile:
    """The ledger of this process; safe to use from several threads."""

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._entries: tuple[Allocation, ...] = ()

    def note(self, boot_id: str, resource_name: str, addresses: Sequence[PciAddress]) -> None:
        """Write down that these functions are handed out now.

        Raises:
            PoolFileError: it cannot be written, so they must not be handed out.
        """
        now = self._now()
        with self._lock:
            kept = [entry for entry in self._entries if entry.at > now - KEPT_SECONDS]
            kept += [Allocation(address=address, resource_name=resource_name, at=now) for address in addresses]
            poolfile.write_ledger(self._path, Ledger(boot_id=boot_id, allocations=tuple(kept)))
            self._entries = tuple(kept)

    def load(self, boot_id: str) -> None:
        """Take over what an earlier process of this boot handed out.

        Raises:
            PoolFileError: the file cannot be read.
        """
        found = poolfile.read_ledger(self._path)
        if found is not None and found.boot_id == boot_id:
            self._entries = found.allocations

    def remove(self) -> None:
        """Leave nothing behind; by now the kubelet knows its pods."""
        self._path.unlink(missing_ok=True)
