"""Keeps the grants: the device nodes of the last answer to Allocate for each function, over restarts and reboots.

The kubelet asks once and saves the answer. At each start, also after a reboot, the container gets the same device nodes
without another Allocate. PreStartContainer compares the grant with the present nodes (`prestart.py`).

If another program changes or removes the file, it is written anew from memory, before the next answer or at the next
check, whichever is first.
"""

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from virtfn_deviceplugin.instances import FileLock
from virtfn_deviceplugin.ledger import MANY_RECORDS, set_aside
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.appended import line_of
from virtfn_host.core.values.offered import Grant, Grants, MoreGrants, check_grants
from virtfn_host.linux import poolfile
from virtfn_host.linux.appended import GrowingFile
from virtfn_host.linux.files import stamp_of
from virtfn_host.linux.poolfile import PoolFileError, TornGrantsError, writing

log = logging.getLogger("virtfn.deviceplugin")

KEPT = 4096
"""Most grants that are kept, the newest: of the longest, so many still fit into a document (4 MiB)."""


class GrantFile:
    """The grants of this node; safe to use from several threads."""

    def __init__(self, path: Path, *, device_info: Path | None = None, cdi: Path | None = None) -> None:
        """Load nothing yet.

        Args:
            path: of the file.
            device_info: the folder of device-info files; None: none are written.
            cdi: the folder of CDI specs; None: none are written, and pools that ask for CDI are refused.
        """
        self.path = path
        self.device_info = device_info
        self.cdi = cdi
        self._file = GrowingFile(path, 0o644)
        self._lock = threading.Lock()
        self._shared = FileLock(path.with_name(f"{path.name}.lock"))
        self._grants: dict[PciAddress, Grant] = {}
        self._not_put_back = False
        """Whether the file has grants that were put back in memory only."""
        self._complaint = ""

    def load(self) -> None:
        """Load the grants of earlier processes. An unreadable file is set aside, and no grant is known."""
        try:
            with self._shared.held():
                self._load()
        except PoolFileError as error:
            log.warning("%s", error)

    def _load(self) -> None:
        try:
            found = poolfile.read_grants(self.path)
        except TornGrantsError as error:
            log.warning("%s; the container of that record was not made", error)
            found = error.whole
        except PoolFileError as error:
            set_aside(self.path, error)
            return
        self._grants = {grant.address: grant for grant in found.grants} if found else {}
        self._file.adopt()

    def _catch_up(self) -> None:
        """Take over what another process of the plugin wrote, after it read ours; not what cannot be read.

        If that process was killed in the middle of a record, the others count. If the file is cut off before that, by
        another program, this process knows more than the file.
        """
        if self._file.intact:
            return
        try:
            found = poolfile.read_grants(self.path)
        except TornGrantsError as error:
            found = None if self._file.shortened else error.whole
        except PoolFileError:
            return
        if found is not None:
            self._grants = {grant.address: grant for grant in found.grants}
            self._file.adopt()

    @property
    def _behind(self) -> bool:
        """Whether the file may not say what this process knows."""
        there = self._file.intact and stamp_of(self.path) is not None
        return self._not_put_back or (bool(self._grants) and not there)

    def look_after(self) -> None:
        """Write the file anew if it does not say what this process knows: after a restart only the file counts."""
        if not self._behind:
            return
        try:
            with self._lock, self._shared.held():
                self._catch_up()
                if self._behind:
                    self._write(self._grants, {})
        except PoolFileError as error:
            if str(error) != self._complaint:
                log.warning("%s", error)
            self._complaint = str(error)
        else:
            self._complaint = ""

    def _now(self) -> Mapping[PciAddress, Grant]:
        if not self._file.intact:
            try:
                with self._lock, self._shared.held():
                    self._catch_up()
            except PoolFileError as error:
                log.warning("%s", error)
        return self._grants

    def of(self, address: PciAddress) -> Grant | None:
        """Return the last grant of a function; None: there is none."""
        return self._now().get(address)

    def all(self) -> tuple[Grant, ...]:
        """Return the last grant of each function."""
        return tuple(self._now().values())

    def note(self, given: Iterable[Grant]) -> Mapping[PciAddress, Grant | None]:
        """Write down new grants, and return what was there before them, for `put_back`. If the file has them already,
        nothing is written.

        Raises:
            PoolFileError: the file cannot be written, so the functions must not be given; the earlier grants are kept.
        """
        with self._lock, self._shared.held():
            self._catch_up()
            noted = [self._with_files(grant) for grant in given]
            fresh = {grant.address: grant for grant in noted if self._grants.get(grant.address) != grant}
            before = {address: self._grants.get(address) for address in fresh}
            if fresh or self._behind:
                grants = self._with(fresh)
                self._write(grants, fresh)
                self._grants = grants
            return before

    def change(self, changed: Mapping[Grant, Grant]) -> None:
        """Replace grants by others; one that is not the last of its function any more stays as it is.

        Raises:
            PoolFileError: the file cannot be written; the earlier grants are kept.
        """
        with self._lock, self._shared.held():
            self._catch_up()
            fresh = {old.address: new for old, new in changed.items() if self._grants.get(old.address) == old}
            if fresh:
                grants = self._with(fresh)
                self._write(grants, fresh)
                self._grants = grants

    def put_back(self, before: Mapping[PciAddress, Grant | None]) -> None:
        """Undo a `note` whose request is refused after all. If the file cannot be written, that is logged, and the file
        has grants that no container got, until it can be written (`look_after`).
        """
        with self._lock:
            try:
                with self._shared.held():
                    self._catch_up()
                    self._grants = self._with(before)
                    self._write(self._grants, before)
            except PoolFileError as error:
                self._grants, self._not_put_back = self._with(before), True
                log.warning("%s", error)

    def _with_files(self, grant: Grant) -> Grant:
        """Go on noting the files of the earlier grant that stay because there is no folder for them now."""
        earlier = self._grants.get(grant.address)
        if earlier is not None and self.cdi is None:
            grant = replace(grant, specs=earlier.specs)
        if earlier is not None and self.device_info is None and earlier.resource_name == grant.resource_name:
            grant = replace(grant, device_info=earlier.device_info)
        return grant

    def _with(self, changed: Mapping[PciAddress, Grant | None]) -> dict[PciAddress, Grant]:
        kept = {address: grant for address, grant in self._grants.items() if address not in changed}
        kept |= {address: grant for address, grant in changed.items() if grant is not None}
        return dict(tuple(kept.items())[-KEPT:])

    def _write(self, grants: Mapping[PciAddress, Grant], changed: Mapping[PciAddress, Grant | None]) -> None:
        """Append what has changed. Once in a while, and where grants are left out or the file is behind, it is written
        anew."""
        fresh = tuple(grant for grant in changed.values() if grant is not None)
        gone = tuple(address for address, grant in changed.items() if grant is None)
        spoiled = bool(self._grants) and not self._file.intact
        with writing(self.path):
            check_grants(Grants(grants=fresh))
            few = self._file.records < MANY_RECORDS and len(grants) < KEPT and not self._behind
            if not few or not self._file.append(lambda line: MoreGrants(follows=line, grants=fresh, gone=gone)):
                self._file.replace(line_of(Grants(grants=tuple(grants.values()))))
        self._not_put_back = False
        if spoiled:
            log.warning("%s was changed or removed by another program; it is written anew", self.path)
