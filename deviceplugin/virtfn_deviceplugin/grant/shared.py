"""Folders of files that other programs read: each file is written whole, and can be put back."""

import contextlib
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from virtfn_deviceplugin.grant.shown import LONGEST_FILE, SharedFile
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux.errors import HostError
from virtfn_host.linux.files import NotSyncedError, read_bounded, write_atomically


class SharedFileError(HostError):
    """A file for other programs cannot be written, so the function that it is about may not be handed out."""

    reason = Reason.POOL_FILE_UNREADABLE


@contextlib.contextmanager
def about(address: PciAddress) -> Iterator[None]:
    """Put the function's address before what cannot be written: the kubelet puts the message into a pod's event."""
    try:
        yield
    except SharedFileError as error:
        raise SharedFileError(f"{address}: {error}") from error


class SharedFolder:
    """One such folder. It is made when the first file is written."""

    def __init__(self, path: Path, mode: int) -> None:
        """Args: `path` of the folder, `mode` of its files."""
        self.path = path
        self._mode = mode

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None: there is none.

        Raises:
            SharedFileError: it is not a regular file of root's, or cannot be read.
        """
        try:
            return read_bounded(self.path / name, LONGEST_FILE)
        except OSError as error:
            raise SharedFileError(f"{self.path / name} cannot be read: {_why(error)}") from error

    def write(self, file: SharedFile) -> Callable[[], None]:
        """Write a file unless it is there already; return what undoes that.

        Raises:
            SharedFileError: it cannot be written; the old one is as it was.
        """
        before = self.read(file.name)
        if before == file.text.encode():
            return lambda: None
        self._write(file.name, file.text.encode())
        return lambda: self._put_back(file.name, before)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Raises:
            SharedFileError: it stays.
        """
        try:
            (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise SharedFileError(f"{self.path / name} cannot be removed: {_why(error)}") from error

    def _put_back(self, name: str, before: bytes | None) -> None:
        if before is None:
            self.remove(name)
        else:
            self._write(name, before)

    def _write(self, name: str, text: bytes) -> None:
        try:
            # Not synced means that a power cut may take the file; a boot takes it anyway, and it is written again.
            with contextlib.suppress(NotSyncedError):
                write_atomically(self.path / name, text, self._mode)
        except OSError as error:
            raise SharedFileError(f"{self.path / name} cannot be written: {_why(error)}; repair its folder") from error


def digest(text: str | bytes) -> str:
    """Return what a file of ours is known by later."""
    return sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def _why(error: OSError) -> str:
    return error.strerror or str(error)
