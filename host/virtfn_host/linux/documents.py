"""One reader and one writer for every document of ours: pool file, ledger, journal.

`files.py` checks that the file may be ours. `core/values/envelope.py` checks that its text is an unchanged document of
this kind, of any version. Here the two meet: every failure is one exception, `DocumentError`.
"""

from pathlib import Path
from typing import TypeVar

from virtfn_host.core.values.codec import CodecError
from virtfn_host.core.values.envelope import dumps, loads
from virtfn_host.linux.errors import DocumentError
from virtfn_host.linux.files import LIMIT, read_bounded, write_atomically

T = TypeVar("T")


class TooLongError(CodecError):
    """The text would be longer than a file of ours may be."""


def read(kind: type[T], path: Path) -> T | None:
    """Return the document of a file, or None where there is no file.

    Raises:
        DocumentError: the file is not an unchanged document of this kind.
    """
    try:
        data = read_bounded(path)
        return None if data is None else loads(kind, data)
    except (OSError, CodecError) as error:
        raise DocumentError(path, "read", error) from error


def write(path: Path, value: object, mode: int) -> None:
    """Replace a file by a document; see `write_atomically`.

    Raises:
        DocumentError: the file could not be written, or no reader would accept it. The old file is as it was, except
            where the cause is NotSyncedError.
    """
    try:
        write_atomically(path, text_of(value), mode)
    except (OSError, CodecError) as error:
        raise DocumentError(path, "written", error) from error


def text_of(value: object) -> str:
    """Return the text that is written of a value.

    Raises:
        CodecError: no reader would accept it; TooLongError if for its length.
    """
    text = dumps(value) + "\n"
    if len(text) > LIMIT or len(text.encode()) > LIMIT:
        raise TooLongError(f"it would be longer than {LIMIT} bytes, which no reader accepts")
    return text
