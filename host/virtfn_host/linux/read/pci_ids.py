"""Finds pci.ids where distributions keep it, plain or compressed. Without it people see numbers instead of names."""

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path

from virtfn_host.core.tell.pci_ids import Ids, PciIds

PLACES = ("usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids", "usr/share/pci.ids", "var/lib/pciutils/pci.ids")
"""The paths of Debian, of Fedora and Arch, of others, and of update-pciids."""

LIMIT = 16 << 20
"""Characters read at most; the file of 2026 has one and a half million."""


def read_pci_ids(root: Path, wanted: Iterable[Ids]) -> PciIds:
    """Return the names of these IDs, as far as the machine under `root` has them."""
    for place in PLACES:
        for path in (root / place, root / f"{place}.gz"):
            try:
                if not path.is_file():
                    continue  # opening a fifo would block
                opened = gzip.open if path.suffix == ".gz" else open
                with opened(path, "rt", encoding="utf-8", errors="replace") as file:
                    return PciIds(file.read(LIMIT).splitlines(keepends=True), wanted)
            except (OSError, EOFError, zlib.error):
                continue  # Names are a comfort: a broken file counts as absent.
    return PciIds((), ())
