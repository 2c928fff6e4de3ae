"""Writes the ledger: allocations are on disk before the kubelet gets them. Until podresources lists a pod, only the
ledger knows its functions.

An allocation is a record that is appended; those that come together are one record (decision 0032). Nothing in that
grows with what was allocated before. Once in a while the file is written anew from memory, with the last allocation of
each function.

In an upgrade another process of the plugin writes the file, too (`instances.py`): what that one noted is taken over
before each write. If another program spoils or removes the file, this process writes it anew. An unreadable file of an
earlier process is set aside under another name, for people to look at. What another process noted is then unknown, and
unknown counts as handed out: the new ledger says when the loss was found (`lost_at`), and the agent takes every
function for used until it has asked podresources after that (decision 0014). The same holds if only the last record is
cut off; what is whole is kept then.

A process that starts without a ledger of this boot cannot tell the first start from a removal, so it writes one with
`lost_at`, too. The file stays when the plugin ends: an agent takes a ledger that goes away for one that was removed.
"""

import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from virtfn_deviceplugin.instances import FileLock
from virtfn_deviceplugin.together import Together
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.appended import line_of
from virtfn_host.core.values.offered import MOST_DEVICES, Allocation, Ledger, Noted, check_ledger
from virtfn_host.linux import poolfile
from virtfn_host.linux.appended import GrowingFile
from virtfn_host.linux.clock import since_boot
from virtfn_host.linux.files import stamp_of
from virtfn_host.linux.poolfile import PoolFileError, TornLedgerError, writing

log = logging.getLogger("virtfn.deviceplugin")

KEPT_SECONDS = 600.0
"""Seconds for which the last entry of a function is kept. The agent uses the last minute; the rest helps to debug."""
COUNTS_SECONDS = 60.0
"""Longest time for which an entry counts (decision 0007)."""
MANY_RECORDS = 512
"""Records after which the file is written anew."""
UNKNOWN = "until podresources has been read, everything on offer counts as handed out"
"""What is said when allocations are lost."""
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


class LedgerFile:
    """The ledger of this process; safe to use from several threads."""

    def __init__(self, path: Path, now: Callable[[], float] = since_boot, *, locks: Path | None = None) -> None:
        """Wire it up. `locks` is the folder of the lock; None: the file's own."""
        self.path = path
        self._lock = FileLock((locks or path.parent) / f"{path.name}.lock")
        self._boot_id = ""
        self._now = now
        self._file = GrowingFile(path, 0o644)
        self._together: Together[tuple[str, tuple[Allocation, ...]]] = Together(self._append)
        self._last: dict[PciAddress, Allocation] = {}
        """The last allocation of each function."""
        self._noted_at = 0.0
        """When this process last noted something, in seconds since boot."""
        self._since: list[Allocation] | None = None
        """What was allocated since the file began to be written anew; None: it is not being written anew."""
        self._lost: float | None = None
        """When a ledger was found unreadable or missing; None: it was not, or that no longer counts."""
        self._complaint = ""

    def note(self, boot_id: str, resource_name: str, addresses: Sequence[PciAddress]) -> None:
        """Write down that these functions are handed out now.

        Raises:
            PoolFileError: the ledger cannot be written, so the functions must not be handed out.
        """
        now = self._now()
        entries = tuple(Allocation(address=one, resource_name=resource_name, at=now) for one in addresses)
        self._together.bring((boot_id, entries))

    def _append(self, batch: Sequence[tuple[str, tuple[Allocation, ...]]]) -> None:
        boot_id, entries = batch[-1][0], tuple(entry for _, several in batch for entry in several)
        self._boot_id = boot_id
        with self._lock.held(), writing(self.path):
            self._catch_up()
            check_ledger(Ledger(boot_id=boot_id, allocations=entries))
            if not self._file.append(lambda line: Noted(follows=line, allocations=entries)):
                self._replace(self._ledger(boot_id, entries))
        self._last |= {entry.address: entry for entry in entries}
        self._noted_at = self._now()
        if self._since is not None:
            self._since += entries
        self._complaint = ""

    def lately(self, addresses: Collection[PciAddress]) -> PciAddress | None:
        """Return one of these functions that was handed out less than a minute ago, or None."""
        if addresses and not self._file.intact:
            with self._together.writing:
                self._catch_up_if_changed()
        since = self._now() - COUNTS_SECONDS
        found = (self._last.get(address) for address in addresses)
        return next((entry.address for entry in found if entry is not None and entry.at > since), None)

    @property
    def _counts(self) -> bool:
        """Whether an allocation in the lost ledger may still count."""
        return self._lost is not None and self._now() - self._lost < COUNTS_SECONDS

    def load(self, boot_id: str) -> None:
        """Load the allocations of an earlier process of this boot. An unreadable ledger does not hinder the start."""
        self._boot_id = boot_id
        try:
            with self._lock.held():
                self._load(boot_id)
        except PoolFileError as error:
            self._complain(f"{error}; {UNKNOWN}")
            self._lost = self._now()

    def _load(self, boot_id: str) -> None:
        try:
            found = poolfile.read_ledger(self.path)
        except TornLedgerError as error:
            log.warning("%s; %s", error, UNKNOWN)
            self._take(error.whole, boot_id)
            self._lost = self._now()
            self._write_at_once(boot_id)
        except PoolFileError as error:
            self._lose(boot_id, error)
        else:
            if found is None or found.boot_id != boot_id:
                self._lost = self._now()
                self._write_at_once(boot_id)
            # A time in the future comes from a version that noted the time of day. The entry counts from now on, and
            # the file differs from memory, so `look_after` writes it.
            elif self._take(found, boot_id):
                self._file.adopt()

    def _catch_up(self) -> None:
        """Take over what another process of the plugin noted. If there is no ledger of this boot any more, or it cannot
        be read, that is lost."""
        if self._file.intact:
            return
        try:
            found = poolfile.read_ledger(self.path)
        except TornLedgerError as error:
            found, self._lost = error.whole, self._now()
        except PoolFileError:
            found = None
        if found is None or found.boot_id != self._boot_id:
            self._lost = self._now()
            return
        now = self._now()
        theirs = {entry.address: replace(entry, at=min(entry.at, now)) for entry in found.allocations}
        whole = all(entry.at <= now for entry in found.allocations)
        fresh = {address: entry for address, entry in theirs.items() if _newer(entry, self._last.get(address))}
        self._last = self._last | fresh
        if self._since is not None:
            self._since += fresh.values()  # what is being written does not have them yet
        self._lost = max((lost for lost in (self._lost, found.lost_at) if lost is not None), default=None)
        kept = [entry for entry in self._last.values() if entry.at > now - KEPT_SECONDS]
        if whole and self._lost == found.lost_at and not any(_newer(one, theirs.get(one.address)) for one in kept):
            self._file.adopt()  # it says all that this process knows, so nothing is written for it

    def _take(self, found: Ledger, boot_id: str) -> bool:
        """Take what an earlier process noted; return whether it can stay as it is."""
        if found.boot_id != boot_id:
            return True
        now = self._now()
        self._last = {entry.address: replace(entry, at=min(entry.at, now)) for entry in found.allocations}
        self._lost = None if found.lost_at is None else min(found.lost_at, now)
        return all(entry.at <= now for entry in found.allocations)

    def _lose(self, boot_id: str, error: PoolFileError) -> None:
        self._lost = self._now()
        log.warning("%s", UNKNOWN)
        if set_aside(self.path, error):
            self._write_at_once(boot_id)

    def _write_at_once(self, boot_id: str) -> None:
        """Write a ledger that has the loss: without one the agent would take nothing for handed out."""
        try:
            with writing(self.path):
                self._replace(self._ledger(boot_id))
        except PoolFileError as failed:
            self._complain(f"{failed}; nothing is handed out until it is")

    def look_after(self, boot_id: str) -> None:
        """Write the file anew if it was changed, is missing or has grown, and forget the lost ledger once it no longer
        counts."""
        self._boot_id = boot_id
        with self._together.writing:
            self._catch_up_if_changed()
            forget = self._lost is not None and not self._counts
            mend, missing = not self._file.intact, stamp_of(self.path) is None
            if not forget and not mend and not missing and not self._grown:
                return
            since: list[Allocation] = []
            ledger, self._since = self._ledger(boot_id), since
        try:
            with writing(self.path):
                head: bytes | None = line_of(ledger)  # it takes long for many functions, and hinders no `note`
                with self._together.writing, self._lock.held():
                    self._catch_up()
                    if self._counts and self._lost != ledger.lost_at:  # it was lost meanwhile
                        ledger, head = replace(ledger, lost_at=self._lost), None
                    self._replace(ledger, head, tuple(since))
        except PoolFileError as error:
            self._complain(f"{error}; nothing is handed out until it is")
        else:
            if mend:
                log.warning("%s was changed or removed by another program; it is written anew", self.path)
        finally:
            self._since = None

    def _catch_up_if_changed(self) -> None:
        if not self._file.intact:
            with contextlib.suppress(PoolFileError), self._lock.held():
                self._catch_up()

    @property
    def _grown(self) -> bool:
        """Whether a new head is due: records are many, or none of them counts any more."""
        quiet = self._noted_at < self._now() - COUNTS_SECONDS
        return self._file.records >= (1 if quiet else MANY_RECORDS)

    def _ledger(self, boot_id: str, more: Iterable[Allocation] = ()) -> Ledger:
        """Return what a new head says: the last allocation of each function, if it is not too old."""
        since = self._now() - KEPT_SECONDS
        last = self._last | {entry.address: entry for entry in more}
        kept = sorted((entry for entry in last.values() if entry.at > since), key=lambda entry: entry.at)
        lost = self._lost if self._counts else None
        return Ledger(boot_id=boot_id, allocations=tuple(kept[-MOST_DEVICES:]), lost_at=lost)

    def _replace(self, ledger: Ledger, head: bytes | None = None, since: tuple[Allocation, ...] = ()) -> None:
        record = (lambda line: Noted(follows=line, allocations=since)) if since else None
        self._file.replace(head or line_of(ledger), record)
        self._last = {entry.address: entry for entry in (*ledger.allocations, *since)}
        self._lost = ledger.lost_at
        self._complaint = ""

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            log.warning("%s", text)
        self._complaint = text


def _newer(entry: Allocation, than: Allocation | None) -> bool:
    return than is None or entry.at > than.at
