"""Reads and writes files of ours that grow: a head, and records appended to it (`core/values/appended.py`).

A record costs one write and one sync, however long the file is. Once in a while the writer replaces the file by a new
head, which is atomic like every write of ours: a crash leaves the old file or the new one.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from virtfn_host.core.values.appended import MOST_RECORDS, Record, TornError, digest_of, line_of, read_lines
from virtfn_host.core.values.codec import CodecError
from virtfn_host.linux import files
from virtfn_host.linux.errors import DocumentError
from virtfn_host.linux.files import LIMIT, Stamp, read_bounded, stamp_of

H = TypeVar("H")
R = TypeVar("R", bound=Record)

WRITING = 0.02
"""Seconds after which a reader looks again at a last record that is not whole: its writer may be writing it."""


def read(kind: type[H], record: type[R], path: Path) -> tuple[H, tuple[R, ...]] | None:
    """Return head and records of a file, or None where there is no file.

    Raises:
        DocumentError: the file is not as it was written; its cause is a TornError if only its last record is cut off.
    """
    try:
        try:
            return _read(kind, record, path)
        except TornError:
            time.sleep(WRITING)
            return _read(kind, record, path)
    except (OSError, CodecError) as error:
        raise DocumentError(path, "read", error) from error


def _read(kind: type[H], record: type[R], path: Path) -> tuple[H, tuple[R, ...]] | None:
    data = read_bounded(path)
    return None if data is None else read_lines(kind, record, data)


class GrowingFile:
    """The file as this writer left it. Its user calls one method at a time, and none while another process writes."""

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path
        self._mode = mode
        self._known: Stamp | None = None
        """The file as this writer left it; None: it wrote none, or could not leave it whole."""
        self._last = ""
        """By what the next record names the last line; empty: the next write must be a new head."""
        self.records = 0
        """Number of records after this writer's head."""

    @property
    def intact(self) -> bool:
        """Whether the file is as this writer left it, or as it was when it was adopted."""
        return stamp_of(self.path) == self._known

    @property
    def shortened(self) -> bool:
        """Whether the file is the one that this writer left or adopted, and a part of that is cut off."""
        found, known = stamp_of(self.path), self._known
        return found is not None and known is not None and found.inode == known.inode and found.size < known.size

    def adopt(self) -> None:
        """Take what another process wrote for intact. The next write is a new head."""
        self._known, self._last, self.records = stamp_of(self.path), "", 0

    def append(self, record: Callable[[str], object]) -> bool:
        """Append the record that is made for the last line. Return False if there must be a new head instead.

        Raises:
            DocumentError: it cannot be written, and usually nothing of it is left; or a reader would refuse it.
        """
        if self._known is None or not self._last or self.records >= MOST_RECORDS:
            return False
        try:
            line = line_of(record(self._last))
            if self._known.size + len(line) > LIMIT:
                return False
            found = files.append(self.path, line, self._known)
        except (OSError, CodecError) as error:
            self._cut_off()
            raise DocumentError(self.path, "written", error) from error
        if found is not None:
            self._known, self._last, self.records = found, digest_of(line), self.records + 1
        return found is not None

    def replace(self, head: bytes, record: Callable[[str], object] | None = None) -> None:
        """Replace the file by a head (`line_of`), and the record that is made for it.

        Raises:
            DocumentError: it cannot be written, or no reader would accept it. The old file is as it was, except where
                the cause is NotSyncedError.
        """
        try:
            lines = (head,) if record is None else (head, line_of(record(digest_of(head))))
            data = b"".join(lines)
            if len(data) > LIMIT:
                raise CodecError(f"it would be longer than {LIMIT} bytes, which no reader accepts")
            files.write_atomically(self.path, data, self._mode)
        except (OSError, CodecError) as error:
            self._known = self._known if self.intact else None
            raise DocumentError(self.path, "written", error) from error
        self._known = stamp_of(self.path)
        self._last, self.records = digest_of(lines[-1]), len(lines) - 1

    def _cut_off(self) -> None:
        """Look at what a record left that could not be written: usually nothing, and the next one can be appended."""
        found, known = stamp_of(self.path), self._known
        same = found is not None and known is not None and (found.inode, found.size) == (known.inode, known.size)
        self._known = found if same else None
