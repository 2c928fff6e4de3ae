"""The canary reports reads that hang, keeps and polls them; they never pile up and never delay the others.

A FIFO without a partner stands in for `sriov_numvfs` behind a blocked write: its open blocks until the other end opens.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch import child
from virtfn_host.linux.use.canary import Canary

PFS = tuple(PciAddress(0, bus, 0, 0) for bus in (1, 2, 3))


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    return FakeKernel(tmp_path / "root", pfs=3).machine().sysfs


@pytest.fixture
def canary() -> Iterator[Canary]:
    made = Canary(deadline=1.0)
    yield made
    made.close()


def hang(sysfs: Sysfs, pf: PciAddress) -> Path:
    path = Path(sysfs.device(pf, "sriov_numvfs"))
    path.unlink()
    os.mkfifo(path)
    return path


def let_go(path: Path) -> None:
    with path.open("w") as partner:
        path.unlink()
        path.write_text("0\n")
        partner.write("0\n")


def readers(canary: Canary) -> int:
    return len(canary._hanging) + (canary._free is not None)


def test_a_healthy_machine_takes_one_child(sysfs: Sysfs, canary: Canary) -> None:
    for _ in range(3):
        assert canary.look(sysfs, PFS) == ()
    assert readers(canary) == 1


def test_one_that_hangs_is_polled_and_the_others_are_read(sysfs: Sysfs, canary: Canary) -> None:
    path = hang(sysfs, PFS[0])
    assert [found.pf for found in canary.look(sysfs, PFS)] == [PFS[0]]
    kept = canary._hanging[PFS[0]][0]._child
    began = time.monotonic()
    for _ in range(5):
        assert [found.path for found in canary.look(sysfs, PFS)] == [str(path)]
    assert time.monotonic() - began < 4, "a read that hangs is not waited for again"
    assert canary._hanging[PFS[0]][0]._child is kept
    assert readers(canary) == 2
    let_go(path)
    until = time.monotonic() + 10
    while canary.look(sysfs, PFS):
        assert time.monotonic() < until
    assert readers(canary) == 1


def test_a_round_has_an_end_and_the_next_goes_on(sysfs: Sysfs, canary: Canary) -> None:
    paths = [hang(sysfs, pf) for pf in PFS]
    began = time.monotonic()
    assert [found.pf for found in canary.look(sysfs, PFS)] == list(PFS[:2])
    assert time.monotonic() - began < 10
    canary.look(sysfs, PFS)
    assert [found.pf for found in canary.look(sysfs, PFS)] == list(PFS)
    for path in paths:
        let_go(path)


def test_a_child_that_starts_slowly_leaves_no_pf_unasked(
    sysfs: Sysfs, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_PROGRAM", f"import time\ntime.sleep(1.5)\n{child._PROGRAM}")
    path = hang(sysfs, PFS[2])
    assert [found.pf for found in canary.look(sysfs, PFS)] == [PFS[2]]
    let_go(path)


def test_a_pf_that_is_gone_hangs_nobody(sysfs: Sysfs, canary: Canary) -> None:
    assert canary.look(sysfs, [PciAddress(0, 9, 0, 0)]) == ()


def test_a_child_that_was_killed_is_replaced(sysfs: Sysfs, canary: Canary) -> None:
    hang(sysfs, PFS[0])
    assert canary.look(sysfs, PFS[:1])
    (crew,) = canary._hanging[PFS[0]][0]._children._crews
    crew._process.kill()
    crew.leave(5)
    assert [found.pf for found in canary.look(sysfs, PFS[:1])] == [PFS[0]], "a fresh one hangs just so"


def test_the_main_thread_never_reads_it(sysfs: Sysfs) -> None:
    """It would hang here for ever."""
    hang(sysfs, PFS[0])
    assert len(read_inventory(sysfs).pfs) == 3
