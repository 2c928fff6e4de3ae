"""The files between agent and device plugin: the pool file (what is offered), the ledger (what was allocated) and the
registrations (how each resource stands with the kubelet). And the plugin's own file: the grants.

Each has one writer, which may be of another version: the agent writes the pool file, the plugin writes the ledger. An
absent file is None. A file that cannot be read or understood is an error, and its reader keeps what it had.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from virtfn_host.core.values.offered import (
    Grants,
    Ledger,
    PoolSet,
    Registrations,
    check_grants,
    check_ledger,
    check_pools,
    check_registrations,
)
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


def write_registrations(path: Path, registrations: Registrations) -> None:
    """Write how each resource stands with the kubelet.

    Raises:
        PoolFileError: the file cannot be written.
    """
    _write(path, registrations, check_registrations)


def read_registrations(path: Path) -> Registrations | None:
    """Read how each resource stands with the kubelet; None: no device plugin has written it.

    Raises:
        PoolFileError: the file is there and cannot be read or understood.
    """
    return _read(Registrations, path, check_registrations)


def write_grants(path: Path, grants: Grants) -> None:
    """Write the device nodes that containers were given.

    Raises:
        PoolFileError: the file cannot be written; then no function may be handed out.
    """
    _write(path, grants, check_grants)


def read_grants(path: Path) -> Grants | None:
    """Read the device nodes that containers were given; None: there is no file.

    Raises:
        PoolFileError: the file is there and cannot be read or understood.
    """
    return _read(Grants, path, check_grants)


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
