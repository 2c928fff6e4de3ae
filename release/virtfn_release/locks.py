"""Read the lock files: the exact versions, and the files of each, that a process is installed from.

`relock` writes them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from virtfn_lab.images import PROCESSES
from virtfn_lab.paths import repository

FOLDER = "requirements"
LOCKS = (*PROCESSES, "build", "dev", "docs")
"""Names of the lock files: one for each image, our wheel's build backend, what `make setup` installs, and what builds
the site of the docs."""

_HASH = re.compile(r"sha256:[0-9a-f]{64}")


class LockError(Exception):
    """A line of a lock file pins nothing, or accepts any file. The message names the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One distribution in one version."""

    name: str
    """Name, normalised as PyPI does."""
    version: str
    marker: Marker | None
    """Environment marker: where it is installed; None for everywhere."""
    hashes: tuple[str, ...]
    """`sha256:HEX` of each file that may be installed."""


def path(lock: str) -> Path:
    """Return the path of a lock file."""
    return repository() / FOLDER / f"{lock}.txt"


def pins(lock: str) -> tuple[Pin, ...]:
    """Return what a lock file pins, in its order.

    Raises:
        LockError: see `parse`.
    """
    return parse(path(lock).read_text())


def parse(text: str) -> tuple[Pin, ...]:
    """Return what the text of a lock file pins, in its order.

    Raises:
        LockError: a line is not `NAME==VERSION` with at least one sha256, or is an option such as an index.
    """
    return tuple(_pin(line) for line in _logical_lines(text))


def _logical_lines(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        if (stripped := line.split(" #")[0].strip()) and not stripped.startswith("#"):
            yield stripped


def _pin(line: str) -> Pin:
    requirement, *hashes = re.split(r"\s+--hash=", line)
    if requirement.startswith("-"):
        raise LockError(f"an option in a lock file: {line[:80]}")
    if not hashes or not all(_HASH.fullmatch(each) for each in hashes):
        raise LockError(f"no sha256 of 64 digits: {line[:80]}")
    try:
        parsed = Requirement(requirement)
    except InvalidRequirement as error:
        raise LockError(f"not a requirement: {line[:80]}") from error
    specifiers = list(parsed.specifier)
    if len(specifiers) != 1 or specifiers[0].operator != "==" or specifiers[0].version.endswith("*") or parsed.url:
        raise LockError(f"not pinned to one version: {line[:80]}")
    return Pin(
        name=canonicalize_name(parsed.name),
        version=specifiers[0].version,
        marker=parsed.marker,
        hashes=tuple(hashes),
    )
