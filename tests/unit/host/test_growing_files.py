"""A file that grows: a record costs one write and one sync, is there whole or not at all, and goes to no other file."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from growing_law import growing_kinds, tried_growing, written

from virtfn_host.core.values import appended as form
from virtfn_host.core.values import envelope
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.appended import MOST_RECORDS, line_of
from virtfn_host.core.values.offered import Allocation, Ledger, Noted
from virtfn_host.linux import appended
from virtfn_host.linux.appended import GrowingFile
from virtfn_host.linux.errors import DocumentError

HEAD = Ledger(boot_id="b", allocations=())


def record(number: int, several: int = 1) -> Callable[[str], Noted]:
    address = PciAddress(0, 1, number // 8, number % 8)
    entry = Allocation(address=address, resource_name="virtfn.dev/fast", at=1.5)
    return lambda line: Noted(follows=line, allocations=(entry,) * several)


def noted(path: Path) -> list[int]:
    found = appended.read(Ledger, Noted, path)
    assert found is not None
    return [e.address.device * 8 + e.address.function for one in found[1] for e in one.allocations]


@pytest.fixture
def file(tmp_path: Path) -> GrowingFile:
    made = GrowingFile(tmp_path / "ledger.json", 0o644)
    made.replace(line_of(HEAD))
    assert made.append(record(1))
    return made


def test_a_file_that_grows_and_that_somebody_changed_is_refused_or_read_right(tmp_path: Path) -> None:
    """A short sample of the law, which `make prove` tries in full."""
    for kind in growing_kinds(tmp_path):
        counted, violations = tried_growing([kind], flips=200, generated=200, kills=30, seed=1)
        assert violations == []
        assert counted[f"{kind.name}: bits flipped: refused"] == 200
        assert counted[f"{kind.name}: truncated: cut off, told"] > 500
        assert any("writer killed: cut off, told" in what for what in counted)


def test_without_the_names_of_the_lines_before_the_law_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(form, "_records", lambda kind, _, lines: (envelope.loads(kind, line) for line in lines))
    _, violations = tried_growing(growing_kinds(tmp_path), flips=0, generated=200, kills=0, seed=1)
    assert any("moved" in line for line in violations)


@pytest.mark.parametrize("before", [0, 10, 300])
def test_a_record_costs_one_write_and_one_sync_whatever_is_there(
    file: GrowingFile, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(before):
        assert file.append(record(number))
    calls: list[tuple[str, int]] = []

    def noted_call(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(fd: int, data: bytes = b"") -> object:
            calls.append((name, len(data)))
            return real(fd, data) if data else real(fd)

        return call

    for name in ("write", "fdatasync"):
        monkeypatch.setattr(os, name, noted_call(name))
    assert file.append(record(7))
    (_, length), _ = calls
    assert [name for name, _ in calls] == ["write", "fdatasync"]
    assert length < 400


def write_again(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)


def put_there(path: Path, make: Callable[[Path], object]) -> None:
    path.rename(path.with_name("other"))
    make(path)


OTHERS: dict[str, Callable[[Path], object]] = {
    "removed": lambda path: path.unlink(),
    "cut off": lambda path: os.truncate(path, 50),
    "longer": lambda path: os.truncate(path, 5000),
    "replaced by the same": write_again,
    "a folder": lambda path: put_there(path, os.mkdir),
    "a fifo": lambda path: put_there(path, os.mkfifo),
    "a link": lambda path: put_there(path, lambda path: path.symlink_to("other")),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_to_a_file_that_another_program_put_there_nothing_is_appended(
    change: Callable[[Path], object], file: GrowingFile
) -> None:
    change(file.path)
    there = file.path.read_bytes() if file.path.is_file() else b""
    assert not file.intact
    assert not file.append(record(2))
    assert (file.path.read_bytes() if file.path.is_file() else b"") == there


def fail(name: str, number: int, after: int = 0) -> Callable[..., int]:
    real = getattr(os, name)

    def call(fd: int, *data: bytes) -> int:
        if after and data:
            real(fd, bytes(data[0])[:after])
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize(
    ("name", "number", "after"),
    [
        ("write", errno.ENOSPC, 0),
        ("write", errno.ENOSPC, 1),
        ("write", errno.EDQUOT, 100),
        ("fdatasync", errno.EIO, 0),
        ("fdatasync", errno.ENOSPC, 0),
    ],
)
def test_of_a_record_that_cannot_be_written_nothing_stays_and_the_next_one_follows(
    name: str, number: int, after: int, file: GrowingFile
) -> None:
    before = file.path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, name, fail(name, number, after))
        with pytest.raises(DocumentError, match=r"ledger\.json cannot be written"):
            file.append(record(2))
    assert file.path.read_bytes() == before
    assert file.append(record(3))
    assert noted(file.path) == [1, 3]


@pytest.mark.parametrize("after", [1, 50, 200])
def test_a_part_that_cannot_be_cut_off_is_told_and_nothing_follows_it(
    after: int, file: GrowingFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", fail("write", errno.ENOSPC, after))
        patch.setattr(os, "ftruncate", fail("ftruncate", errno.EIO))
        with pytest.raises(DocumentError, match="No space left"):
            file.append(record(2))
    monkeypatch.setattr(appended, "WRITING", 0.0)
    with pytest.raises(DocumentError, match="its last record is cut off"):
        noted(file.path)
    assert not file.intact
    assert not file.append(record(3))
    file.replace(line_of(HEAD), record(4))
    assert noted(file.path) == [4]


@pytest.mark.parametrize("part", [1, 60, 150])
def test_a_reader_that_comes_in_the_middle_of_a_write_reads_it_whole(
    part: int, file: GrowingFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "other.json", HEAD, [record(1), record(2)])
    whole = (tmp_path / "other.json").read_bytes()
    file.path.write_bytes(whole[: file.path.stat().st_size + part])
    monkeypatch.setattr(time, "sleep", lambda _: file.path.write_bytes(whole))
    assert noted(file.path) == [1, 2]


def test_a_file_with_many_records_wants_a_new_head(file: GrowingFile) -> None:
    file.records = MOST_RECORDS
    assert not file.append(record(2))
    file.replace(line_of(HEAD))
    assert file.append(record(3))


def test_a_file_that_a_reader_would_refuse_is_not_made(file: GrowingFile) -> None:
    before = file.path.read_bytes()
    with pytest.raises(DocumentError, match="longer than"):
        file.replace(line_of(HEAD), record(1, 80_000))
    assert file.path.read_bytes() == before
    assert file.append(record(5))
    assert not file.append(record(1, 80_000))
    assert noted(file.path) == [1, 5]
