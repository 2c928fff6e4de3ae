"""Ways in which another program takes a file of ours away."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path


def into_a_link(path: Path) -> None:
    """Put a link that leads nowhere in its place."""
    path.unlink()
    path.symlink_to("nowhere")


GONE: Mapping[str, Callable[[Path], object]] = {
    "removed": lambda path: path.unlink(),
    "moved away": lambda path: path.rename(path.with_name("away")),
    "emptied": lambda path: os.truncate(path, 0),
    "a link to nothing": into_a_link,
}
