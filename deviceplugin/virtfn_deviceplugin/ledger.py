"""What was handed out, on disk before the kubelet hears of it: until podresources lists a pod, only this knows.

The file is this process's own. Whatever becomes of it meanwhile is mended from what this process knows. One of an
earlier process that cannot be read is set aside under another name, for people to look at. What it said is not known,
and not known counts as handed out: the new ledger says when that was found (`lost_at`), and the agent takes every
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
"""The agent looks at the last minute; the rest is for whoever debugs."""
COUNTS_SECONDS = 60.0
"""How long an entry counts at most (decision 0007)."""
ASIDE = ".unreadable"
"""Added to the name of a file that could not be read; the next one takes its place."""


def set_aside(path: Path, error: PoolFileError) -> bool:
    """Move a file that cannot be read out of the way, and say so; whether that could be done."""
    try:
        path.rename(path.with_name(path.name + ASIDE))
    except OSError as why:
        log.warning("%s; it cannot be set aside: %s", error, why.strerror)
        return False
    log.warning("%s; it is set aside as %s%s", error, path.name, ASIDE)
    return True


class LedgerFile:
    """The ledger of this process; safe to use from several threads."""

    def __init__(self, path: Path, now: Callable[[], float] = since_boot) -> None:
        self.path = path
        self._now = now
        self._lock = threading.Lock()
        self._entries: tuple[Allocation, ...] = ()
        self._lost: float | None = None
        """When it was found that what an earlier process noted is lost; None: it is not, or it does not count now."""
        self._written: object = None
        """What shows whether the file is as this process left it; None: it has not written one."""
        self._complaint = ""

    def note(self, boot_id: str, resource_name: str, addresses: Sequence[PciAddress]) -> None:
        """Write down that these functions are handed out now.

        Raises:
            PoolFileError: it cannot be written, so they must not be handed out.
        """
        now = self._now()
        with self._lock:
            kept = [entry for entry in self._entries if entry.at > now - KEPT_SECONDS]
            kept += [Allocation(address=address, resource_name=resource_name, at=now) for address in addresses]
            self._write(boot_id, tuple(kept[-MOST_DEVICES:]))

    @property
    def _counts(self) -> bool:
        """Whether something of what was lost may count yet."""
        return self._lost is not None and self._now() - self._lost < COUNTS_SECONDS

    def load(self, boot_id: str) -> None:
        """Take over what an earlier process of this boot handed out; one that does not read hinders nobody's start."""
        try:
            found = poolfile.read_ledger(self.path)
        except PoolFileError as error:
            self._lose(boot_id, error)
            return
        if found is not None and found.boot_id == boot_id:
            # One from the future is of a version that noted the time of day: it counts from now on, as unknown does.
            now = self._now()
            self._entries = tuple(replace(entry, at=min(entry.at, now)) for entry in found.allocations)
            self._lost = None if found.lost_at is None else min(found.lost_at, now)
            if self._entries != found.allocations:
                return  # not as this process would have it, so `look_after` writes it
        self._written = self._identity()

    def _lose(self, boot_id: str, error: PoolFileError) -> None:
        """At once, or the agent would find no ledger and take nothing for handed out."""
        self._lost = self._now()
        log.warning("until podresources has been read, everything on offer counts as handed out")
        if not set_aside(self.path, error):
            return
        try:
            self._write(boot_id, ())
        except PoolFileError as failed:
            self._complain(f"{failed}; nothing is handed out until it is")

    def look_after(self, boot_id: str) -> None:
        """Mend the file where somebody changed it, and forget what was lost when nothing of it counts any more."""
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
                    log.warning("%s was not as this process had left it; it is written anew", self.path)

    def remove(self) -> None:
        """Leave nothing behind; by now the kubelet knows its pods."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s stays: %s", self.path, error.strerror)

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
