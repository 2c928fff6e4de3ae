"""What was handed out, on disk before the kubelet hears of it: until podresources lists a pod, only this knows.

The file is this process's own. Whatever becomes of it meanwhile is mended from what this process knows; what an earlier
process noted in a file that does not read is not known, and not known counts as handed out (decision 0014).
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import MOST_DEVICES, Allocation, DevicePool, Ledger
from virtfn_host.linux import poolfile
from virtfn_host.linux.clock import since_boot
from virtfn_host.linux.poolfile import PoolFileError

log = logging.getLogger("virtfn.deviceplugin")

KEPT_SECONDS = 600.0
"""The agent looks at the last minute; the rest is for whoever debugs."""
COUNTS_SECONDS = 60.0
"""How long an entry counts at most (decision 0007)."""


class LedgerFile:
    """The ledger of this process; safe to use from several threads."""

    def __init__(self, path: Path, now: Callable[[], float] = since_boot) -> None:
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._entries: tuple[Allocation, ...] = ()
        self._lost: float | None = None
        """When it was found that what an earlier process noted is lost; None: it is not."""
        self._written: object = None
        """What shows whether the file is as this process left it; None: it has not written one."""
        self._complaint = ""

    def note(
        self, boot_id: str, resource_name: str, addresses: Sequence[PciAddress], offered: Iterable[DevicePool] = ()
    ) -> None:
        """Write down that these functions are handed out now.

        Args:
            offered: everything on offer; for a minute after a ledger was lost all of it counts as handed out.

        Raises:
            PoolFileError: it cannot be written, so they must not be handed out.
        """
        now = self._now()
        with self._lock:
            kept = [entry for entry in self._entries if entry.at > now - KEPT_SECONDS]
            kept += self._perhaps(offered)
            kept += [Allocation(address=address, resource_name=resource_name, at=now) for address in addresses]
            self._write(boot_id, tuple(kept[-MOST_DEVICES:]))
            self._lost = None

    def _perhaps(self, offered: Iterable[DevicePool]) -> list[Allocation]:
        """As if all that may have been handed out had been, at the last moment at which it can have been."""
        if self._lost is None or not self._counts:
            return []
        return [
            Allocation(address=device.address, resource_name=pool.resource_name, at=self._lost)
            for pool in offered
            for device in pool.devices
        ]

    @property
    def _counts(self) -> bool:
        """Whether something of what was lost may count yet."""
        return self._lost is not None and self._now() - self._lost < COUNTS_SECONDS

    def load(self, boot_id: str) -> None:
        """Take over what an earlier process of this boot handed out; one that does not read hinders nobody's start."""
        try:
            found = poolfile.read_ledger(self._path)
        except PoolFileError as error:
            log.warning("%s; for a minute everything on offer counts as handed out", error)
            self._lost = self._now()
            return
        if found is not None and found.boot_id == boot_id:
            # One from the future is of a version that noted the time of day: it counts from now on, as unknown does.
            now = self._now()
            self._entries = tuple(replace(entry, at=min(entry.at, now)) for entry in found.allocations)
            if self._entries != found.allocations:
                return  # not as this process would have it, so `look_after` writes it
        self._written = self._identity()

    def look_after(self, boot_id: str) -> None:
        """Mend the file where somebody changed it; a lost one only when nothing of it counts any more, for until then
        it says the truth, which is that nobody knows.
        """
        with self._lock:
            if self._counts or (self._lost is None and self._identity() == self._written):
                return
            try:
                self._write(boot_id, self._entries)
            except PoolFileError as error:
                self._complain(f"{error}; nothing is handed out until it is")
            else:
                self._lost = None
                log.warning("%s was not as this process had left it; it is written anew", self._path)

    def remove(self) -> None:
        """Leave nothing behind; by now the kubelet knows its pods."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s stays: %s", self._path, error.strerror)

    def _write(self, boot_id: str, entries: tuple[Allocation, ...]) -> None:
        poolfile.write_ledger(self._path, Ledger(boot_id=boot_id, allocations=entries))
        self._entries = entries
        self._written = self._identity()
        self._complaint = ""

    def _identity(self) -> object:
        try:
            found = self._path.lstat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            log.warning("%s", text)
        self._complaint = text
