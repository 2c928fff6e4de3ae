"""Writes and reads that hang are given up in time, nothing is written after them, and all resumes when they return.

A FIFO without a partner stands in for the kernel: its open blocks until somebody comes, as a blocked write does.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtfn_host.linux.errors import StuckError, SysfsReadError, SysfsWriteError
from virtfn_host.linux.reader import Reader
from virtfn_host.linux.writer import Writer


@pytest.fixture
def writer() -> Iterator[Writer]:
    made = Writer()
    yield made
    made.close()


@pytest.fixture
def hanging(tmp_path: Path) -> Path:
    path = tmp_path / "unbind"
    os.mkfifo(path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sriov_numvfs"
    path.write_text("")
    return path


def test_a_write_is_one_write_to_a_file_that_exists(writer: Writer, file: Path) -> None:
    writer.write(file, "7", 5)
    assert file.read_text() == "7"
    with pytest.raises(SysfsWriteError, match="no_such_attribute"):
        writer.write(file.parent / "no_such_attribute", "1", 5)
    assert not (file.parent / "no_such_attribute").exists()


def test_several_writes_go_side_by_side_and_the_first_refusal_is_told(writer: Writer, tmp_path: Path) -> None:
    files = [tmp_path / f"vf{number}" for number in range(40)]
    for path in files:
        path.write_text("")
    files[3].unlink()
    with pytest.raises(SysfsWriteError, match="vf3"):
        writer.write_all([(path, "x") for path in files[:16]], 10)
    assert [path.read_text() for path in files[:16] if path.exists()] == ["x"] * 15
    writer.write_all([(path, "y") for path in files if path.exists()], 10)
    assert {path.read_text() for path in files if path.exists()} == {"y"}


def test_after_a_write_that_hangs_nothing_is_written_until_it_returns(
    writer: Writer, hanging: Path, file: Path
) -> None:
    with pytest.raises(StuckError, match="has not returned"):
        writer.write(hanging, "0000:01:10.0", 0.3)
    stuck = writer.stuck()
    assert stuck is not None
    assert stuck.path == str(hanging)
    with pytest.raises(StuckError, match="not written"):
        writer.write(file, "7", 5)
    assert file.read_text() == ""

    with hanging.open() as holder:  # the holder lets go
        assert holder.read() == "0000:01:10.0"
    until = time.monotonic() + 10
    while writer.stuck() is not None:
        assert time.monotonic() < until
    writer.write(file, "7", 5)
    assert file.read_text() == "7"


def test_closing_does_not_wait_for_a_write_that_hangs(hanging: Path) -> None:
    writer = Writer()
    with pytest.raises(StuckError):
        writer.write(hanging, "x", 0.2)
    began = time.monotonic()
    writer.close()
    assert time.monotonic() - began < 5


def test_a_read_that_hangs_is_said_and_the_next_one_fails_at_once(hanging: Path, file: Path) -> None:
    reader = Reader(deadline=0.3)
    file.write_text("vfio-pci\n")
    assert reader.read(file) == "vfio-pci"
    assert reader.read(file.parent / "absent") is None
    with pytest.raises(SysfsReadError, match="no answer"):
        reader.read(hanging)
    with pytest.raises(SysfsReadError, match="no answer"):
        reader.read(file)
    with hanging.open("w") as partner:
        partner.write("late")
    until = time.monotonic() + 10
    while True:
        try:
            assert reader.read(file) == "vfio-pci"
            break
        except SysfsReadError:
            assert time.monotonic() < until
    reader.close()
