"""The two files between agent and device plugin: the pool file (what is offered) and the ledger (what was allocated).

Each has one writer, which may be of another version: the agent writes the pool file, the plugin writes the ledger. An
absent file is None. A file that cannot be read or understood is an error, and its reader keeps what it had.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from virtfn_host.core.values.offered import Ledger, PoolSet, check_ledger, check_pools
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux import documents
from virtfn_host.linux.errors import DocumentError, HostError
from virtfn_host.linux.files import NotSyncedError

T = TypeVar("T")


class PoolFileError(HostError):
    """A pool file or ledger exists and cannot be read, or cannot be written."""

    reason = Reason.POOL_FILE_UNREADABLE


def write(path: Path, pools: PoolSet) -> None:
    """Publish what this node offers.

    Raises:
        PoolFileError: the file could not be written; the old one is as it was, unless the message says otherwise.
    """
    _write(path, pools, check_pools)


def read(path: Path) -> PoolSet | None:
    """Return what this node offers, or None where nothing was published yet.

    Raises:
        PoolFileError: the file exists and cannot be read or understood.
    """
    return _read(PoolSet, path, check_pools)


def write_ledger(path: Path, ledger: Ledger) -> None:
    """Note what was allocated.

    Raises:
        PoolFileError: the file could not be written; then nothing may be allocated.
    """
    _write(path, ledger, check_ledger)


def read_ledger(path: Path) -> Ledger | None:
    """Return what was allocated lately, or None where nothing was.

    Raises:
        PoolFileError: the file exists and cannot be read or understood.
    """
    return _read(Ledger, path, check_ledger)


def _write(path: Path, document: T, check: Callable[[T], None]) -> None:
    try:
        check(document)  # a reader would refuse it
        documents.write(path, document, 0o644)
    except ValueError as error:
        raise PoolFileError(f"{path} is not written: {error}; the old file is kept") from error
    except DocumentError as error:
        stands = "" if isinstance(error.__cause__, NotSyncedError) else "the old file is kept, "
        raise PoolFileError(f"{error}; {stands}repair its folder") from error


def _read(kind: type[T], path: Path, check: Callable[[T], None]) -> T | None:
    try:
        found = documents.read(kind, path)
        if found is not None:
            check(found)
    except ValueError as error:
        raise PoolFileError(f"{path} cannot be read: {error}") from error
    except DocumentError as error:
        raise PoolFileError(str(error)) from error
    return found
