"""The start of a writer process does not count towards the deadline of a write: a node short of CPU is not stuck."""

import errno
import os
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


@pytest.mark.parametrize("pipes", [0, 1, 2, 4, 95])
def test_a_pipe_that_cannot_be_made_is_an_error_and_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipes: int
) -> None:
    made = iter(range(pipes))
    pipe2 = os.pipe2

    def few(flags: int) -> tuple[int, int]:
        if next(made, None) is None:
            raise OSError(errno.EMFILE, "Too many open files")
        return pipe2(flags)

    before = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as full:
        full.setattr(os, "pipe2", few)
        with pytest.raises(OSError, match="Too many open files"):
            child.Crew(32)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_fails_meanwhile_takes_no_child_and_no_answer_with_it(tmp_path: Path) -> None:
    file = tmp_path / "sriov_numvfs"
    file.write_text("")
    writer = Writer()

    def fail() -> None:
        raise RuntimeError("nobody thought of it")

    writer.write(file, "7", deadline=30)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(RuntimeError):
        writer.write_each([(file, "8")], 30, meanwhile=fail)
    writer.write(file, "9", deadline=30)
    assert file.read_text() == "9"
    assert len(list(Path("/proc/self/fd").iterdir())) == before, "the child was heard, and is used again"
    writer.close()


def nothing_is_written(folder: Path, why: str) -> None:
    file = folder / "sriov_numvfs"
    file.write_text("")
    writer = Writer()
    with pytest.raises(SysfsWriteError, match=why):
        writer.write(file, "7", deadline=30)
    writer.close()
    assert file.read_text() == ""
