"""One reader and one writer for every document of ours: pool file, ledger, journal.

`files.py` says whether the file may be ours, `core/values/codec.py` whether its text is a document of this kind that
nobody changed, of whatever version. Here the two meet: whatever is there instead of a good document, the answer is one
exception.
"""

from pathlib import Path
from typing import TypeVar

from virtfn_host.core.values.codec import CodecError, dumps, loads
from virtfn_host.linux.errors import DocumentError
from virtfn_host.linux.files import LIMIT, read_bounded, write_atomically

T = TypeVar("T")


def read(kind: type[T], path: Path) -> T | None:
    """The document of a file, or None where there is no file.

    Raises:
        DocumentError: there is something else than a document of this kind, whole and as it was written.
    """
    try:
        data = read_bounded(path)
        return None if data is None else loads(kind, data)
    except (OSError, CodecError) as error:
        raise DocumentError(path, "read", error) from error


def write(path: Path, value: object, mode: int) -> None:
    """Replace a file by a document; see `write_atomically`.

    Raises:
        DocumentError: it could not be written, or nobody could read it; the old file is as it was, but for a cause of
            NotSyncedError.
    """
    try:
        write_atomically(path, text_of(value), mode)
    except (OSError, CodecError) as error:
        raise DocumentError(path, "written", error) from error


def text_of(value: object) -> str:
    """What is written of a value.

    Raises:
        CodecError: nobody could read it.
    """
    text = dumps(value) + "\n"
    if len(text) > LIMIT or len(text.encode()) > LIMIT:
        raise CodecError(f"it would be longer than {LIMIT} bytes, and nobody would read it")
    return text
