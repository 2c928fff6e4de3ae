"""Starting the processes that write is no part of a write: a node that is short of CPU is not stuck."""

from pathlib import Path

import pytest

from virtfn_host.linux.errors import SysfsWriteError
from virtfn_host.linux.touch import child
from virtfn_host.linux.touch.reader import Reader
from virtfn_host.linux.touch.writer import Writer


def begin_slowly(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(child, "_PROGRAM", f"import time\ntime.sleep({seconds})\n{child._PROGRAM}")


def test_a_write_has_its_whole_deadline_after_a_start_that_took_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_slowly(monkeypatch, 3.0)
    file = tmp_path / "sriov_numvfs"
    file.write_text("")
    writer = Writer()
    writer.write(file, "7", deadline=2.0)
    assert file.read_text() == "7"
    writer.close()


def test_a_read_has_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_slowly(monkeypatch, 3.0)
    file = tmp_path / "sriov_numvfs"
    file.write_text("7\n")
    reader = Reader(deadline=2.0)
    assert reader.read(file) == "7"
    reader.close()


def test_processes_that_do_not_start_are_an_error_and_no_write_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_slowly(monkeypatch, 2.0)
    monkeypatch.setattr(child, "START", 0.1)
    nothing_is_written(tmp_path, "ETIMEDOUT")


def test_a_process_that_ends_as_it_starts_is_an_error_and_no_write_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_PROGRAM", "raise RuntimeError('cannot start new thread')")
    nothing_is_written(tmp_path, "EAGAIN")


def nothing_is_written(folder: Path, why: str) -> None:
    file = folder / "sriov_numvfs"
    file.write_text("")
    writer = Writer()
    with pytest.raises(SysfsWriteError, match=why):
        writer.write(file, "7", deadline=30)
    writer.close()
    assert file.read_text() == ""
