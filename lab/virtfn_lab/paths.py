"""The two folders the lab may write to: a cache that survives, and a run folder that does not.

Knows nothing of what is kept in them. `VIRTFN_LAB_CACHE` and `VIRTFN_LAB_RUN` move them.
"""

import os
from pathlib import Path


def repository() -> Path:
    """The checkout this lab belongs to."""
    return Path(__file__).resolve().parents[2]


def cache_dir() -> Path:
    """Where built things are kept between runs; safe to delete at any time when no lab runs."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "virtfn-lab"
    return _made(Path(os.environ.get("VIRTFN_LAB_CACHE") or default))


def run_dir() -> Path:
    """Sockets, logs, process ids and disks of the lab that runs now; `lab-down` empties it."""
    return _made(Path(os.environ.get("VIRTFN_LAB_RUN") or f"/tmp/virtfn-lab-{os.getuid()}"))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()
