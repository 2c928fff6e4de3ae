"""The two folders that the lab writes to: a cache that survives, and a run folder that does not.

`VIRTFN_LAB_CACHE` and `VIRTFN_LAB_RUN` move them.
"""

import os
from pathlib import Path


def repository() -> Path:
    """Return the checkout that this lab belongs to."""
    return Path(__file__).resolve().parents[2]


def cache_dir() -> Path:
    """Return the folder that keeps built things between runs; it may be deleted whenever no lab runs."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "virtfn-lab"
    return _made(Path(os.environ.get("VIRTFN_LAB_CACHE") or default))


def run_dir() -> Path:
    """Return the folder with sockets, logs, process ids and disks of the running lab; `lab-down` empties it."""
    return _made(Path(os.environ.get("VIRTFN_LAB_RUN") or f"/tmp/virtfn-lab-{os.getuid()}"))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()
