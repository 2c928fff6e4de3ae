"""Names of cards are optional: whatever pci.ids contains, the lookup gives an answer."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from virtfn_host.core.tell.pci_ids import Ids
from virtfn_host.linux.read.pci_ids import PLACES, read_pci_ids

CARD = Ids(vendor="8086", device="10c9", class_code="020000")
TEXT = "8086  Intel Corporation\n\t10c9  82576 Gigabit Network Connection\n"
GZ = gzip.compress(TEXT.encode() * 50)


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        lambda path: path.mkdir(),
        lambda path: path.symlink_to(path),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.write_bytes(b"\xff\0" * 1000),
        lambda path: path.write_bytes(GZ[:30]),
        lambda path: path.write_bytes(GZ[:12] + b"\xff" * 40),
        lambda path: path.write_bytes(b""),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_what_is_no_list_of_names_is_as_none(make: Callable[[Path], object], ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"{PLACES[0]}{ending}"
    path.parent.mkdir(parents=True)
    make(path)
    assert "Intel" not in str(read_pci_ids(tmp_path, {CARD}).names(CARD))
