"""Hanging writes and reads are given up in time, nothing is written after them, and all resumes when they return.

A FIFO without a partner stands in for the kernel: its open blocks until the other end opens, as a blocked write does.
"""

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from child_processes import child_processes

from virtfn_host.linux.errors import StuckError, SysfsReadError, SysfsWriteError
from virtfn_host.linux.touch.child import Child
from virtfn_host.linux.touch.reader import Reader
from virtfn_host.linux.touch.rounds import Lists
from virtfn_host.linux.touch.writer import Writer


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
    _until(lambda: writer.stuck() is None)
    writer.write(file, "7", 5)
    assert file.read_text() == "7"


def test_a_write_that_hangs_is_known_to_though_who_holds_it_up_cannot_be_told(hanging: Path, file: Path) -> None:
    def unreadable(path: str, _: str) -> None:
        raise SysfsReadError(path, OSError(errno.EIO, "Input/output error"))

    writer = Writer(who=unreadable, held_after=0.1)
    with pytest.raises(StuckError, match="has not returned"):
        writer.write(hanging, "0000:01:10.0", 0.3)
    assert writer.stuck() is not None
    with pytest.raises(StuckError, match="not written"):
        writer.write(file, "7", 5)
    assert file.read_text() == ""
    with hanging.open() as holder:
        assert holder.read() == "0000:01:10.0"
    _until(lambda: writer.stuck() is None)
    writer.close()


def test_closing_does_not_wait_for_a_write_that_hangs(hanging: Path) -> None:
    writer = Writer()
    with pytest.raises(StuckError):
        writer.write(hanging, "x", 0.2)
    began = time.monotonic()
    writer.close()
    assert time.monotonic() - began < 5


def test_a_read_that_hangs_is_said_and_the_next_one_fails_at_once(hanging: Path, file: Path) -> None:
    reader = Reader(deadline=2.0)
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


def test_what_stands_after_a_write_that_hangs_in_its_list_or_in_another_is_never_begun(
    writer: Writer, hanging: Path, tmp_path: Path
) -> None:
    files = [tmp_path / f"vf{number}" for number in range(9)]
    for path in files:
        path.write_text("")
    order: list[Path] = [files[0], hanging, *files[1:5]]
    answers = writer.write_each([(path, "x") for path in order], 2.0, 1)
    assert answers[0] is None
    assert f"writing 'x' to {hanging} has not returned" in str(answers[1])
    assert all(isinstance(answer, StuckError) and "not written" in str(answer) for answer in answers[2:])
    with hanging.open() as holder:
        holder.read()
    _until(lambda: writer.stuck() is None)
    assert [path.read_text() for path in files] == ["x", *[""] * 8]

    other = tmp_path / "other"
    os.mkfifo(other)
    # Two lists: the first hangs at its first write, the second in the middle; both stop there.
    order = [hanging, files[5], files[6], other, files[7], files[8]]
    answers = writer.write_each([(path, "y") for path in order], 0.5, 2)
    assert "has not returned" in str(answers[0])
    assert answers[1] is None
    for path in (hanging, other):
        with path.open() as holder:
            holder.read()
    _until(lambda: writer.stuck() is None)
    assert [files[number].read_text() for number in (6, 7, 8)] == ["", "", ""]


def test_a_deadline_is_for_each_write_of_a_list_and_not_for_the_list(writer: Writer, tmp_path: Path) -> None:
    slow = [tmp_path / f"slow{number}" for number in range(18)]
    for path in slow:
        os.mkfifo(path)

    def partner() -> None:
        for path in slow:
            time.sleep(0.1)  # as a real write; the list takes longer than one deadline, each write far less
            with path.open() as end:
                end.read()

    writing = threading.Thread(target=partner)
    writing.start()
    answers = writer.write_each([(path, "x") for path in slow], 1.5, 1)
    writing.join()
    assert answers == [None] * len(slow)


def test_a_child_that_somebody_killed_is_an_error_of_its_write_and_the_next_write_gets_another(
    writer: Writer, hanging: Path, file: Path
) -> None:
    first = file.with_name("first")
    first.write_text("")

    def killer() -> None:
        _until(lambda: first.read_text() == "x")
        for pid in child_processes():
            os.kill(pid, signal.SIGKILL)

    killing = threading.Thread(target=killer)
    killing.start()
    answers = writer.write_each([(first, "x"), (hanging, "x"), (file, "x")], 20, 1)
    killing.join()
    assert answers[0] is None
    assert "was killed; look whether it reached the kernel" in str(answers[1])
    assert "not begun" in str(answers[2])
    assert writer.stuck() is None
    assert file.read_text() == ""
    writer.write(file, "7", 5)
    assert file.read_text() == "7"


def test_a_child_that_was_killed_while_it_had_nothing_to_do_is_replaced(writer: Writer, file: Path) -> None:
    writer.write(file, "1", 5)
    (pid,) = child_processes()
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # its threads end one after the other
    writer.write(file, "2", 5)
    assert file.read_text() == "2"


def test_a_child_that_answered_all_and_was_killed_before_it_said_so_is_not_waited_for(file: Path) -> None:
    """Its process lives on where another child of it is blocked, so its end does not show."""
    (_, commands), (answers, answered), (done, _) = pipes = [os.pipe() for _ in range(3)]
    os.write(answered, b"0 %r \n" % time.monotonic())
    lists = Lists([(str(file), "7")], 0.1, lambda *_: None, 5.0)
    lists.add(Child(commands, answers, done), [0])
    lists.carry_out()
    assert (lists.answers, lists.free, lists.blocked) == ({0: None}, [], [])
    for fd in (pipes[0][0], answered, pipes[2][1]):
        os.close(fd)


def test_nobody_who_reads_our_output_waits_for_a_child(writer: Writer, file: Path) -> None:
    writer.write(file, "1", 5)
    (pid,) = child_processes()
    ours = {str(Path(f"/proc/self/fd/{number}").readlink()) for number in (1, 2)} - {"/dev/null"}
    assert ours.isdisjoint(str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir())


def test_children_are_one_process_that_ends_with_the_writer_and_is_not_left_as_a_zombie(file: Path) -> None:
    writer = Writer()
    writer.write_all([(file, "x")] * 16, 10)
    (pid,) = child_processes()
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1 + 16
    writer.close()
    assert child_processes() == []


def test_reads_asked_for_together_are_answered_each_and_what_stands_behind_one_that_hangs_is_not_known(
    hanging: Path, file: Path
) -> None:
    reader = Reader(deadline=2.0)
    file.write_text("vfio-pci\n")
    absent = file.parent / "absent"
    assert reader.read_each([file, absent, file]) == ["vfio-pci", None, "vfio-pci"]
    first, *lost = reader.read_each([file, hanging, file])
    assert first == "vfio-pci"
    assert all(isinstance(error, SysfsReadError) and "no answer" in str(error) for error in lost)
    with hanging.open("w") as partner:
        partner.write("late")
    _until(lambda: not isinstance(reader.read_each([file])[0], SysfsReadError))
    assert reader.read_each([file, absent]) == ["vfio-pci", None]
    reader.close()


def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)
