"""The form of a document that grows: a head, and records appended to it. Pure.

    {"version":2,"kind":"Ledger","value":{...},"checksum":"sha256:..."}
    {"version":2,"kind":"Noted","value":{"follows":"<SHA-256 of the line before>",...},"checksum":"sha256:..."}

Each line is a document like all others (`envelope.py`). A record names the line before it, so a line that is changed,
exchanged or missing from the middle is noticed. A last line that is not whole was cut off by a crash or a full disk: no
promise was made on it, because its writer syncs a record before it promises anything (docs/decisions/0032).
"""

import hashlib
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from virtfn_host.core.values.codec import CodecError
from virtfn_host.core.values.envelope import dumps, loads

MOST_RECORDS = 4096
"""Most records after a head; to parse so many takes a third of a second. Writers begin a new head long before."""


class Record(Protocol):
    """One line after the head."""

    @property
    def follows(self) -> str:
        """The SHA-256 of the line before, without its newline."""


H = TypeVar("H")
R = TypeVar("R", bound=Record)


class TornError(CodecError, Generic[H, R]):
    """The last line is not whole. `head` and `records` are what the others say."""

    def __init__(self, text: str, head: H, records: tuple[R, ...]) -> None:
        super().__init__(text)
        self.head = head
        self.records = records


def digest_of(line: bytes) -> str:
    """Return by what the next line names this one."""
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


def line_of(value: object) -> bytes:
    """Return a value as one line with its newline.

    Raises:
        CodecError: see `envelope.dumps`.
    """
    return f"{dumps(value)}\n".encode()


def read_lines(kind: type[H], record: type[R], data: bytes) -> tuple[H, tuple[R, ...]]:
    """Read a head and its records.

    Raises:
        TornError: only the last line is not whole.
        CodecError: another line is not as it was written, or there are too many.
    """
    first, *rest = data.removesuffix(b"\n").split(b"\n", MOST_RECORDS + 1)
    if len(rest) > MOST_RECORDS:
        raise CodecError(f"more than {MOST_RECORDS} records")
    head = loads(kind, first)
    records: list[R] = []
    try:
        records.extend(_records(record, first, rest))
    except CodecError as error:
        torn = len(records) == len(rest) - 1 and not data.endswith(b"\n")
        if torn:
            text = f"its last record is cut off, as by a crash or a full disk; {len(records)} before it are whole"
            raise TornError(text, head, tuple(records)) from error
        raise CodecError(f"record {len(records) + 1}: {error}") from error
    return head, tuple(records)


def _records(kind: type[R], before: bytes, lines: list[bytes]) -> Iterator[R]:
    for line in lines:
        found = loads(kind, line)
        if found.follows != digest_of(before):
            raise CodecError("it does not follow the line before it, so lines were exchanged, changed or removed")
        yield found
        before = line
