"""The files between agent and device plugin: the pool file (what is offered), the ledger (what was allocated) and the
registrations (how each resource stands with the kubelet). And the plugin's own file: the grants.

Each has one writer, which may be of another version: the agent writes the pool file, the plugin writes the ledger. An
absent file is None. A file that cannot be read or understood is an error, and its reader keeps what it had.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from virtfn_host.core.values.appended import Record, TornError
from virtfn_host.core.values.offered import (
    Grants,
    Ledger,
    MoreGrants,
    Noted,
    PoolSet,
    Registrations,
    check_grants,
    check_ledger,
    check_pools,
    check_registrations,
)
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux import appended, documents
from virtfn_host.linux.errors import DocumentError, HostError
from virtfn_host.linux.files import NotSyncedError

T = TypeVar("T")
R = TypeVar("R", bound=Record)


class PoolFileError(HostError):
    """A pool file or ledger exists and cannot be read, or cannot be written."""

    reason = Reason.POOL_FILE_UNREADABLE


class TornLedgerError(PoolFileError):
    """The last record of the ledger is cut off; `whole` is what the others say."""

    def __init__(self, text: str, whole: Ledger) -> None:
        super().__init__(text)
        self.whole = whole


class TornGrantsError(PoolFileError):
    """The last record of the grants is cut off; `whole` is what the others say."""

    def __init__(self, text: str, whole: Grants) -> None:
        super().__init__(text)
        self.whole = whole


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
        TornLedgerError: its last record is cut off.
        PoolFileError: the file exists and cannot be read or understood.
    """
    return _read_grown(Ledger, Noted, path, _noted, TornLedgerError)


def _noted(ledger: Ledger, records: tuple[Noted, ...]) -> Ledger:
    noted = tuple(entry for record in records for entry in record.allocations)
    found = replace(ledger, allocations=ledger.allocations + noted)
    check_ledger(found)
    return found


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
        TornGrantsError: its last record is cut off.
        PoolFileError: the file is there and cannot be read or understood.
    """
    return _read_grown(Grants, MoreGrants, path, _given, TornGrantsError)


def _given(head: Grants, records: tuple[MoreGrants, ...]) -> Grants:
    check_grants(head)
    grants = {grant.address: grant for grant in head.grants}
    for record in records:
        for address in (*record.gone, *(grant.address for grant in record.grants)):
            grants.pop(address, None)  # the newest is the last
        grants |= {grant.address: grant for grant in record.grants}
    found = replace(head, grants=tuple(grants.values()))
    check_grants(found)
    return found


def _read_grown(
    kind: type[T],
    record: type[R],
    path: Path,
    join: Callable[[T, tuple[R, ...]], T],
    torn: Callable[[str, T], Exception],
) -> T | None:
    """Read a head and its records, and join them."""
    with reading(path):
        try:
            found = appended.read(kind, record, path)
        except DocumentError as error:
            if not isinstance(error.__cause__, TornError):
                raise
            raise torn(str(error), join(error.__cause__.head, error.__cause__.records)) from error
        return None if found is None else join(*found)


def _write(path: Path, document: T, check: Callable[[T], None]) -> None:
    with writing(path):
        check(document)  # a reader would refuse it
        documents.write(path, document, 0o644)


def _read(kind: type[T], path: Path, check: Callable[[T], None]) -> T | None:
    with reading(path):
        found = documents.read(kind, path)
        if found is not None:
            check(found)
        return found


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what a writer of documents raises into a PoolFileError."""
    try:
        yield
    except ValueError as error:
        raise PoolFileError(f"{path} is not written: {error}; the old file is kept") from error
    except DocumentError as error:
        stands = "" if isinstance(error.__cause__, NotSyncedError) else "the old file is kept, "
        raise PoolFileError(f"{error}; {stands}repair its folder") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a reader of documents raises into a PoolFileError."""
    try:
        yield
    except ValueError as error:
        raise PoolFileError(f"{path} cannot be read: {error}") from error
    except DocumentError as error:
        raise PoolFileError(str(error)) from error
