"""The two files between agent and device plugin: what is offered, and what was handed out.

Written whole, read strictly. Each has one writer: the agent writes the pool file, the plugin writes the ledger. A file
that is not there is None; one that cannot be read is an error, and its reader keeps what it had.
"""

from pathlib import Path
from typing import TypeVar

from virtfn_host.core.offered import Ledger, PoolSet
from virtfn_host.core.reasons import Reason
from virtfn_host.linux import documents
from virtfn_host.linux.errors import DocumentError, HostError

T = TypeVar("T")


class PoolFileError(HostError):
    """A pool file or ledger that is there and cannot be read, or cannot be written."""

    reason = Reason.POOL_FILE_UNREADABLE


def write(path: Path, pools: PoolSet) -> None:
    """Publish what this node offers.

    Raises:
        PoolFileError: it could not be written; the old file is as it was.
    """
    _write(path, pools)


def read(path: Path) -> PoolSet | None:
    """What this node offers, or None where nothing was published yet.

    Raises:
        PoolFileError: the file is there and is no pool file of this version.
    """
    return _read(PoolSet, path)


def write_ledger(path: Path, ledger: Ledger) -> None:
    """Note what was handed out.

    Raises:
        PoolFileError: it could not be written; nothing may be handed out then.
    """
    _write(path, ledger)


def read_ledger(path: Path) -> Ledger | None:
    """What was handed out lately, or None where nothing was.

    Raises:
        PoolFileError: the file is there and is no ledger of this version.
    """
    return _read(Ledger, path)


def _write(path: Path, document: object) -> None:
    try:
        documents.write(path, document, 0o644)
    except DocumentError as error:
        raise PoolFileError(f"{error}; the old one stands, mend its folder") from error


def _read(kind: type[T], path: Path) -> T | None:
    try:
        return documents.read(kind, path)
    except DocumentError as error:
        raise PoolFileError(str(error)) from error
