"""A file is written whole or not at all: after any failure the old file is intact and no temporary file is left."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from virtfn_host.linux.files import NotSyncedError, write_atomically

KILLED = """
import os, signal, sys
from pathlib import Path
from virtfn_host.linux.files import write_atomically
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
setattr(os, sys.argv[2], die)
write_atomically(Path(sys.argv[1]), "new", 0o600)
"""


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("call", ["open", "write", "fchmod", "fsync", "replace", "fstat"])
def test_a_call_that_fails_leaves_the_old_file_and_nothing_else(
    call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "here"
    write_atomically(path, "old", 0o600)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr(os, call, refuse)
        with pytest.raises(OSError, match=os.strerror(number)):
            write_atomically(path, "new", 0o600)
    assert path.read_text() == "old"
    assert entries(tmp_path) == ["here"]


def test_what_went_wrong_first_is_told_also_where_tidying_up_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(number: int) -> Any:
        def refuse(*_: Any, **__: Any) -> None:
            raise OSError(number, os.strerror(number))

        return refuse

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing(errno.ENOSPC))
        broken.setattr(os, "unlink", failing(errno.EIO))
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            write_atomically(tmp_path / "here", "new", 0o600)
    write_atomically(tmp_path / "here", "new", 0o600)
    assert entries(tmp_path) == ["here"]


def test_a_folder_that_does_not_sync_is_said_and_the_new_file_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, real = [], os.fsync

    def second_fails(fd: int) -> None:
        synced.append(fd)
        if len(synced) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(fd)

    monkeypatch.setattr(os, "fsync", second_fails)
    with pytest.raises(NotSyncedError, match=r"its folder did not sync: .*; it is written, but"):
        write_atomically(tmp_path / "here", "new", 0o600)
    assert (tmp_path / "here").read_text() == "new"


@pytest.mark.parametrize("at", ["write", "fsync", "replace"])
def test_what_a_killed_writer_left_is_gone_after_the_next_write(at: str, tmp_path: Path) -> None:
    path = tmp_path / "here"
    write_atomically(path, "old", 0o600)
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", KILLED, str(path), at], check=False)
        assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(entries(tmp_path)) == 2  # only the last writer's temporary file; those of the first two are gone
    write_atomically(path, "new", 0o600)
    assert entries(tmp_path) == ["here"]


def test_what_an_earlier_version_left_is_removed_and_nothing_of_anybody_else(tmp_path: Path) -> None:
    others = [
        ".here",
        ".here.bak",
        ".here.abcdefg",
        ".here.ABCDEFGH",
        ".there.abcdefgh",
        "here.new",
        ".here.folder.new",
    ]
    for name in others[:-1]:
        (tmp_path / name).write_text("")
    (tmp_path / others[-1]).mkdir()
    (tmp_path / ".here.link0000.new").symlink_to("here")
    (tmp_path / ".here.a1b2_c3d").write_text("")
    write_atomically(tmp_path / "here", "new", 0o600)
    assert entries(tmp_path) == sorted([*others, ".here.link0000.new", "here"])


def test_the_temporary_file_of_a_writer_that_lives_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, inside = tmp_path / "here", os.fsync, threading.Event()
    going_on = threading.Event()

    def wait_in_the_first(fd: int) -> None:
        if not inside.is_set():
            inside.set()
            going_on.wait(5)
        real(fd)

    monkeypatch.setattr(os, "fsync", wait_in_the_first)
    slow = threading.Thread(target=write_atomically, args=(path, "slow", 0o600))
    slow.start()
    inside.wait(5)
    write_atomically(path, "quick", 0o600)
    assert len(entries(tmp_path)) == 2
    going_on.set()
    slow.join(5)
    assert path.read_text() == "slow"
    assert entries(tmp_path) == ["here"]


def test_many_writers_at_once_leave_one_of_their_files(tmp_path: Path) -> None:
    path, failed = tmp_path / "here", []

    def write(number: int) -> None:
        try:
            for _ in range(30):
                write_atomically(path, str(number) * 1000, 0o600)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert path.read_text() in [str(number) * 1000 for number in range(4)]
    assert entries(tmp_path) == ["here"]


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_what_is_no_file_is_replaced_by_one(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "new folder/here"
    write_atomically(path, "first", mode)
    assert path.stat().st_mode & 0o7777 == mode
    path.unlink()
    os.mkfifo(path)
    write_atomically(path, "second", mode)
    path.unlink()
    path.symlink_to("/etc/passwd")
    write_atomically(path, "third", mode)
    assert (path.read_text(), path.is_symlink()) == ("third", False)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        write_atomically(tmp_path / "here", "new", 0o600)
    assert entries(tmp_path) == ["here"]
