"""Folders in memory: a fake kernel is a hundred small files, and tests make thousands of them."""

import tempfile
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")


def folder_in_memory(prefix: str) -> Path:
    """A new one, in memory where there is a file system for it; whoever made it removes it."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None))
