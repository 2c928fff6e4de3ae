"""The child processes of the tests' own process, as the kernel shows them."""

import os
from pathlib import Path


def child_processes(*, ended: bool = False) -> list[int]:
    """Return the process ids of our children.

    Args:
        ended: also those that have ended and that nobody has waited for.
    """
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == os.getpid() and (ended or fields[0] != "Z"):
            found.append(int(stat.parent.name))
    return found
