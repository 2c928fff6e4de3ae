"""The file of the last verified config, `config.json` beside the journal: the host process writes it, a boot reads it.

It is a copy of what the agent verified, so an unreadable one is written anew; the journal beside it never is.
"""

from pathlib import Path

from virtfn_host.core.turn.kept import merged
from virtfn_host.core.values.kept import EMPTY, KeptConfig, check_kept
from virtfn_host.linux import documents
from virtfn_host.linux.errors import DocumentError


def read_kept(path: Path) -> KeptConfig | None:
    """Return the last verified config, or None where there is no file.

    Raises:
        DocumentError: the file is not an unchanged document of this kind, or has values out of bounds.
    """
    found = documents.read(KeptConfig, path)
    if found is None:
        return None
    try:
        return check_kept(found)
    except ValueError as error:
        raise DocumentError(path, "read", error) from error


def keep(path: Path, now: KeptConfig) -> DocumentError | None:
    """Keep a config that was just verified; write the file only if that changes it.

    Returns:
        Why the file that was there could not be read; it is replaced.

    Raises:
        DocumentError: the file could not be written; the old one is as it was.
    """
    try:
        before, trouble = read_kept(path), None
    except DocumentError as error:
        before, trouble = None, error
    wanted = merged(before or EMPTY, now)
    if wanted != before:
        documents.write(path, wanted, 0o600)
    return trouble
