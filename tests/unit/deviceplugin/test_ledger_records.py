"""The ledger grows by records: earlier allocations cost an Allocate nothing, and a crash loses and adds nothing."""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from growing_law import killed_growing

from virtfn_deviceplugin import ledger as ledger_module
from virtfn_deviceplugin.ledger import COUNTS_SECONDS, KEPT_SECONDS, MANY_RECORDS, LedgerFile
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.appended import line_of
from virtfn_host.core.values.envelope import loads
from virtfn_host.core.values.offered import Ledger
from virtfn_host.linux import appended, poolfile
from virtfn_operator.agent.files import PoolFiles

FAST, BOOT = "virtfn.dev/fast", "0b7e"
VFS = tuple(PciAddress(0, 1, number // 8, number % 8) for number in range(200))


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.json"


def read(path: Path) -> Ledger:
    found = poolfile.read_ledger(path)
    assert found is not None
    return found


def noted(path: Path) -> list[PciAddress]:
    return [entry.address for entry in read(path).allocations]


async def test_the_agent_sees_each_record_and_that_it_came(path: Path) -> None:
    ledger, agent = LedgerFile(path, Clock()), PoolFiles(path.with_name("pools.json"), path)
    stamps = [await agent.ledger_stamp()]
    for number in range(5):
        ledger.note(BOOT, FAST, VFS[number : number + 1])
        found = await agent.ledger()
        assert found is not None
        assert [entry.address for entry in found.allocations] == list(VFS[: number + 1])
        stamps.append(await agent.ledger_stamp())
    assert len(set(stamps)) == 6


@pytest.mark.parametrize("before", [1, 20, 400])
def test_an_allocation_writes_as_much_whatever_was_allocated_before(path: Path, before: int) -> None:
    ledger = LedgerFile(path, Clock())
    for number in range(before):
        ledger.note(BOOT, FAST, [VFS[number % 200]])
    old, inode = path.stat().st_size, path.stat().st_ino
    ledger.note(BOOT, FAST, [VFS[0]])
    assert path.stat().st_ino == inode
    assert 200 < path.stat().st_size - old < 400


def test_many_records_become_one_head_with_the_last_allocation_of_each_function(path: Path) -> None:
    clock = Clock()
    ledger = LedgerFile(path, clock)
    for number in range(MANY_RECORDS + 1):
        clock.time += 0.001
        ledger.note(BOOT, FAST, [VFS[number % 200]])
    before = read(path)
    ledger.look_after(BOOT)
    after = read(path)
    assert path.read_bytes().count(b"\n") == 1
    assert sorted(noted(path)) == list(VFS)
    assert {e.address: e for e in before.allocations} == {e.address: e for e in after.allocations}
    ledger.note(BOOT, FAST, [VFS[3]])
    assert noted(path)[-1] == VFS[3]


@pytest.mark.parametrize("count", [2, 3, 30])
def test_a_minute_after_the_last_allocation_the_file_is_one_document_which_any_version_reads(
    path: Path, count: int
) -> None:
    clock = Clock()
    ledger = LedgerFile(path, clock)
    for vf in VFS[:count]:
        ledger.note(BOOT, FAST, [vf])
    clock.time += COUNTS_SECONDS - 1
    ledger.look_after(BOOT)
    assert path.read_bytes().count(b"\n") == count
    clock.time += 2
    ledger.look_after(BOOT)
    assert [entry.address for entry in loads(Ledger, path.read_text()).allocations] == list(VFS[:count])
    before = path.stat()
    ledger.look_after(BOOT)
    assert path.stat() == before


@pytest.mark.parametrize("later", [0.0, KEPT_SECONDS - 1, KEPT_SECONDS + 1])
def test_a_new_head_leaves_out_what_is_too_old(path: Path, later: float) -> None:
    clock = Clock()
    ledger = LedgerFile(path, clock)
    ledger.note(BOOT, FAST, VFS[:5])
    clock.time += later
    for _ in range(MANY_RECORDS):
        ledger.note(BOOT, FAST, VFS[5:6])
    ledger.look_after(BOOT)
    assert sorted(noted(path)) == list(VFS[5:6] if later > KEPT_SECONDS else VFS[:6])


@pytest.mark.parametrize("meanwhile", [1, 3, 20])
def test_what_is_allocated_while_the_file_is_written_anew_waits_for_nothing_and_is_in_it(
    path: Path, meanwhile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = LedgerFile(path, Clock())
    for _ in range(MANY_RECORDS + 1):
        ledger.note(BOOT, FAST, VFS[:1])

    def slowly(value: object) -> bytes:
        others = [threading.Thread(target=ledger.note, args=(BOOT, FAST, [vf])) for vf in VFS[1 : meanwhile + 1]]
        for other in others:
            other.start()
        for other in others:
            other.join(30)
            assert not other.is_alive()
        return line_of(value)

    monkeypatch.setattr(ledger_module, "line_of", slowly)
    ledger.look_after(BOOT)
    assert sorted(noted(path)) == list(VFS[: meanwhile + 1])
    assert path.read_bytes().count(b"\n") == 2


def test_a_crash_while_the_file_is_written_anew_loses_nothing_and_adds_nothing(path: Path) -> None:
    ledger = LedgerFile(path, Clock())
    for number in range(MANY_RECORDS + 1):
        ledger.note(BOOT, FAST, [VFS[number % 7]])
    last = {entry.address: entry for entry in read(path).allocations}
    ends = 0
    for at in range(40):
        for half in (False, True):
            ends += not killed_growing(lambda: ledger.look_after(BOOT), at, half)
            assert {entry.address: entry for entry in read(path).allocations} == last
            again = LedgerFile(path, Clock())
            again.load(BOOT)
            assert again.lately(VFS[6:]) == VFS[6]
    assert ends  # so every call of it was tried


CUTS: dict[str, Callable[[Path], object]] = {
    "all but a byte": lambda path: os.truncate(path, path.stat().st_size - 2),
    "a byte": lambda path: os.truncate(path, path.stat().st_size - len(path.read_bytes().splitlines()[-1])),
    "half": lambda path: os.truncate(path, path.stat().st_size - 100),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_record_that_a_crash_cut_off_is_told_and_the_others_are_kept(
    path: Path, cut: Callable[[Path], object], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer was given on it. Damage would look the same, so everything counts as handed out for a moment."""
    monkeypatch.setattr(appended, "WRITING", 0.0)
    ledger = LedgerFile(path, Clock())
    for vf in VFS[:3]:
        ledger.note(BOOT, FAST, [vf])
    cut(path)
    with pytest.raises(poolfile.TornLedgerError, match="its last record is cut off"):
        read(path)
    with caplog.at_level(logging.WARNING):
        LedgerFile(path, Clock()).load(BOOT)
    assert noted(path) == list(VFS[:2])
    assert read(path).lost_at == 1000.0
    assert "its last record is cut off, as by a crash or a full disk; 1 before it are whole" in caplog.text
    assert "everything on offer counts as handed out" in caplog.text
    assert not path.with_name("ledger.json.unreadable").exists()


@pytest.mark.parametrize("number", [1, 2, 40])
def test_of_what_is_refused_nothing_stays(path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = LedgerFile(path, Clock())
    ledger.note(BOOT, FAST, VFS[:1])
    before = path.read_bytes()
    real = os.write

    def full(fd: int, data: bytes) -> int:
        if len(data) <= 10:
            raise OSError(28, "No space left on device")
        return real(fd, bytes(data)[:-10])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(poolfile.PoolFileError, match="No space left on device"):
            ledger.note(BOOT, FAST, VFS[1 : number + 1])
    assert path.read_bytes() == before
    assert ledger.lately(VFS[1:]) is None
    ledger.look_after(BOOT)
    assert path.read_bytes() == before
    ledger.note(BOOT, FAST, VFS[60:61])
    assert noted(path) == [VFS[0], VFS[60]]


def test_the_ledger_of_an_earlier_process_is_gone_on_with_by_a_new_head(path: Path) -> None:
    earlier = LedgerFile(path, Clock())
    for vf in VFS[:4]:
        earlier.note(BOOT, FAST, [vf])
    ledger = LedgerFile(path, Clock())
    ledger.load(BOOT)
    assert ledger.lately(VFS[3:]) == VFS[3]
    ledger.note(BOOT, FAST, VFS[4:5])
    ledger.note(BOOT, FAST, VFS[5:6])
    assert sorted(noted(path)) == list(VFS[:6])
    assert path.read_bytes().count(b"\n") == 2
