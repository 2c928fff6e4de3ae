"""Readers that were made of each other have their children in one process, and do not wait for each other."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from child_processes import child_processes

from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.touch.reader import CREW, Reader


def processes() -> set[int]:
    """Our child processes; those that have ended and were not waited for, too."""
    return set(child_processes(ended=True))


@contextmanager
def readers(number: int) -> Iterator[list[Reader]]:
    first = Reader()
    made = [first, *(first.another(deadline=0.2) for _ in range(number - 1))]
    yield made
    for reader in made:
        reader.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "driver_override"
    made.write_text("vfio-pci\n")
    return made


@pytest.fixture
def hanging(tmp_path: Path) -> Path:
    """A file whose read hangs until somebody writes to it."""
    made = tmp_path / "hanging"
    os.mkfifo(made)
    return made


@pytest.mark.parametrize(("number", "expected"), [(1, 1), (CREW, 1), (CREW + 1, 2)])
def test_a_process_has_the_children_of_so_many_readers(number: int, expected: int, file: Path) -> None:
    before = processes()
    with readers(number) as made:
        assert [reader.read(file) for reader in made] == ["vfio-pci"] * number
        assert len(processes() - before) == expected
    assert processes() == before


def test_a_read_that_hangs_holds_up_no_other_reader(file: Path, hanging: Path) -> None:
    with readers(3) as (one, two, three):
        with pytest.raises(SysfsReadError, match="no answer"):
            two.read(hanging)
        assert [one.read(file), three.read(file)] == ["vfio-pci", "vfio-pci"]
        assert two.hangs
        with hanging.open("w") as partner:
            partner.write("late")
        until = time.monotonic() + 10
        while two.hangs:
            assert time.monotonic() < until
            try:
                assert two.read(file) == "vfio-pci"
            except SysfsReadError:
                continue


def test_a_read_that_hangs_holds_up_reads_of_its_kind_alone(file: Path, hanging: Path) -> None:
    before = processes()
    with readers(1) as (reader,):
        with pytest.raises(SysfsReadError, match="no answer"):
            reader.of("one").read(hanging)
        with pytest.raises(SysfsReadError, match="no answer"):
            reader.of("one").read(file)
        assert [reader.of("another").read(file), reader.read(file)] == ["vfio-pci", "vfio-pci"]
        assert len(processes() - before) == 1
        with hanging.open("w") as partner:
            partner.write("late")
    assert processes() == before


def test_one_that_is_closed_leaves_the_others_their_process(file: Path) -> None:
    before = processes()
    with readers(2) as (one, two):
        assert [one.read(file), two.read(file)] == ["vfio-pci", "vfio-pci"]
        one.close()
        (process,) = processes() - before
        assert two.read(file) == "vfio-pci"
        assert one.read(file) == "vfio-pci"
        assert processes() - before == {process}
    assert processes() == before


def test_after_the_process_was_killed_each_reader_fails_once_and_reads_again(file: Path) -> None:
    before = processes()
    with readers(2) as made:
        for reader in made:
            reader.read(file)
        (process,) = processes() - before
        os.kill(process, signal.SIGKILL)
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)  # its threads end one after the other
        for reader in made:
            with pytest.raises(SysfsReadError, match="no process to read with"):
                reader.read(file)
        assert [reader.read(file) for reader in made] == ["vfio-pci", "vfio-pci"]
    assert processes() == before
