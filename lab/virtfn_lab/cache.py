"""A cache of built things, keyed by the content of their inputs: the same inputs are never built twice.

An entry is a folder `NAME-HASH`. It appears by one rename, so an entry that exists is complete, even after a crash in
the middle of a build. If two labs need the same thing, one builds it and the other waits.
"""

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from virtfn_lab.paths import cache_dir
from virtfn_lab.progress import step

KEPT_ENTRIES = 2
"""Entries kept of each name: the current one and the one before, for switching branches."""


def cached(name: str, inputs: Mapping[str, str], build: Callable[[Path], None]) -> Path:
    """Return the folder built from `inputs`, building it with `build(empty_folder)` if it is not there.

    Args:
        name: a word that can be part of a file name.
        inputs: everything that the result depends on; for files, what `digest` returns.
        build: fills the folder that it is given; if it raises, no entry is left behind.
    """
    fingerprint = hashlib.sha256(json.dumps(dict(inputs), sort_keys=True).encode()).hexdigest()[:16]
    entry = cache_dir() / f"{name}-{fingerprint}"
    if entry.is_dir():
        entry.touch()
        return entry
    with (cache_dir() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if entry.is_dir():
            return entry
        for unfinished in cache_dir().glob(f".{name}.building-*"):
            shutil.rmtree(unfinished)
        folder = Path(tempfile.mkdtemp(prefix=f".{name}.building-", dir=cache_dir()))
        try:
            with step(f"building {name}"):
                build(folder)
            folder.chmod(0o755)
            folder.rename(entry)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        _prune(name, fingerprint)
    return entry


def digest(*paths: Path) -> str:
    """Return one hash over names, modes and contents of files, and of everything below folders."""
    seen = hashlib.sha256()
    for path in paths:
        members = sorted(path.rglob("*")) if path.is_dir() else [path]
        for member in members:
            if "__pycache__" in member.parts or not member.is_file():
                continue
            name = member.relative_to(path) if path.is_dir() else member.name
            seen.update(f"{name}\0{member.stat().st_mode & 0o111}\0".encode())
            seen.update(hashlib.sha256(member.read_bytes()).digest())
    return seen.hexdigest()


def _prune(name: str, keep: str) -> None:
    """Remove the oldest entries of `name`; hashes have a fixed length, so `node` never matches `node-disk`."""
    entries = [e for e in cache_dir().glob(f"{name}-{'?' * len(keep)}") if e.is_dir()]
    for old in sorted(entries, key=lambda e: e.stat().st_mtime, reverse=True)[KEPT_ENTRIES:]:
        shutil.rmtree(old)
