"""Writes the ledger: allocations are on disk before the kubelet gets them. Until podresources lists a pod, only the
ledger knows its functions.

Only this process writes the file. If the file is changed or removed, this process writes it anew from memory. An
unreadable file of an earlier process is set aside under another name, for people to look at. What it said is unknown,
and unknown counts as handed out: the new ledger says when the loss was found (`lost_at`), and the agent takes every
function for used until it has asked podresources after that (decision 0014).
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import MOST_DEVICES, Allocation, Ledger
from virtfn_host.linux import poolfile
from virtfn_host.linux.clock import since_boot
from virtfn_host.linux.poolfile import PoolFileError

log = logging.getLogger("virtfn.deviceplugin")

KEPT_SECONDS = 600.0
"""Seconds for which an entry is kept. The agent uses the last minute; the rest helps to debug."""
COUNTS_SECONDS = 60.0
"""Longest time for which an entry counts (decision 0007)."""
ASIDE = ".unreadable"
"""The end of the name of a file that was set aside. The next such file replaces it."""


def set_aside(path: Path, error: PoolFileError) -> bool:
    """Rename an unreadable file and log it. Return whether it could be renamed."""
    try:
        path.rename(path.with_name(path.name + ASIDE))
    except OSError as why:
        log.warning("%s; it cannot be set aside: %s", error, why.strerror)
        return False
    log.warning("%s; it is set aside as %s%s", error, path.name, ASIDE)
    return True


def remove(path: Path) -> None:
    """Remove a file of this process at its end; one that stays is logged."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s stays: %s", path, error.strerror)


class LedgerFile:
    """The ledger of this process; safe to use from several threads."""

    def __init__(self, path: Path, now: Callable[[], float] = since_boot) -> None:
        self.path = path
        self._now = now
        self._lock = threading.Lock()
        self._entries: tuple[Allocation, ...] = ()
        self._lost: float | None = None
        """When the ledger of an earlier process was found unreadable; None: it was not, or that no longer counts."""
        self._written: object = None
        """The identity of the file that this process wrote last; None: it has not written one."""
        self._complaint = ""

    def note(self, boot_id: str, resource_name: str, addresses: Sequence[PciAddress]) -> None:
        """Write down that these functions are handed out now.

        Raises:
            PoolFileError: the ledger cannot be written, so the functions must not be handed out.
        """
        now = self._now()
        with self._lock:
            kept = [entry for entry in self._entries if entry.at > now - KEPT_SECONDS]
            kept += [Allocation(address=address, resource_name=resource_name, at=now) for address in addresses]
            self._write(boot_id, tuple(kept[-MOST_DEVICES:]))

    @property
    def _counts(self) -> bool:
        """Whether an allocation in the lost ledger may still count."""
        return self._lost is not None and self._now() - self._lost < COUNTS_SECONDS

    def load(self, boot_id: str) -> None:
        """Load the allocations of an earlier process of this boot. An unreadable ledger does not hinder the start."""
        try:
            found = poolfile.read_ledger(self.path)
        except PoolFileError as error:
            self._lose(boot_id, error)
            return
        if found is not None and found.boot_id == boot_id:
            # A time in the future comes from a version that noted the time of day. The entry counts from now on.
            now = self._now()
            self._entries = tuple(replace(entry, at=min(entry.at, now)) for entry in found.allocations)
            self._lost = None if found.lost_at is None else min(found.lost_at, now)
            if self._entries != found.allocations:
                return  # the file differs from memory, so `look_after` writes it
        self._written = self._identity()

    def _lose(self, boot_id: str, error: PoolFileError) -> None:
        """Replace an unreadable ledger at once: without a ledger the agent would take nothing for handed out."""
        self._lost = self._now()
        log.warning("until podresources has been read, everything on offer counts as handed out")
        if not set_aside(self.path, error):
            return
        try:
            self._write(boot_id, ())
        except PoolFileError as failed:
            self._complain(f"{failed}; nothing is handed out until it is")

    def look_after(self, boot_id: str) -> None:
        """Write the file anew if it was changed, and forget the lost ledger once it no longer counts."""
        with self._lock:
            forget = self._lost is not None and not self._counts
            mend = self._identity() != self._written
            if not forget and not mend:
                return
            try:
                self._write(boot_id, self._entries)
            except PoolFileError as error:
                self._complain(f"{error}; nothing is handed out until it is")
            else:
                if mend:
                    log.warning("%s was changed or removed by another program; it is written anew", self.path)

    def remove(self) -> None:
        """Remove the file; by now the kubelet lists its pods."""
        remove(self.path)

    def _write(self, boot_id: str, entries: tuple[Allocation, ...]) -> None:
        lost = self._lost if self._counts else None
        poolfile.write_ledger(self.path, Ledger(boot_id=boot_id, allocations=entries, lost_at=lost))
        self._entries, self._lost = entries, lost
        self._written = self._identity()
        self._complaint = ""

    def _identity(self) -> object:
        try:
            found = self.path.lstat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            log.warning("%s", text)
        self._complaint = text
