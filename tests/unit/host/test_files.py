"""Reading one of our files never hangs: if something else has its name, the error says what it is and what helps."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from virtfn_host.linux.files import LIMIT, read_bounded

Make = Callable[[Path], object]


def sparse(path: Path, size: int) -> None:
    path.touch()
    os.truncate(path, size)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def of_mode(mode: int) -> Make:
    def made(path: Path) -> None:
        path.write_text("{}")
        path.chmod(mode)

    return made


def of_user(user: int) -> Make:
    def made(path: Path) -> None:
        path.write_text("{}")
        os.chown(path, user, 0)

    return made


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda path: path.mkdir(), "is a folder; move it away", id="folder"),
        pytest.param(os.mkfifo, "is a fifo, not a regular file; remove it", id="fifo"),
        pytest.param(unix_socket, "is a socket, not a regular file; remove it", id="socket"),
        pytest.param(lambda path: path.symlink_to("nowhere"), "is a symbolic link", id="dangling link"),
        pytest.param(lambda path: path.symlink_to(path), "is a symbolic link", id="link to itself"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), "is a symbolic link", id="link to a device"),
        pytest.param(lambda path: path.symlink_to("/etc/passwd"), "is a symbolic link", id="link to a file"),
        pytest.param(lambda path: sparse(path, 1 << 30), f"is longer than {LIMIT} bytes", id="a sparse GiB"),
        pytest.param(lambda path: sparse(path, LIMIT + 1), f"is longer than {LIMIT} bytes", id="a byte too long"),
        pytest.param(of_mode(0o666), "may be written by others .mode 666.", id="writable by all"),
        pytest.param(of_mode(0o660), "may be written by others .mode 660.", id="writable by its group"),
        pytest.param(
            of_user(12345),
            "belongs to user 12345, .* chown it to root",
            id="of somebody else",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away"),
        ),
    ],
)
def test_what_is_no_file_of_ours_is_refused_at_once_and_says_what_helps(
    make: Make, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path has at most 108 bytes
    make(Path("here"))
    began = time.process_time()
    with pytest.raises(OSError, match=said):
        read_bounded(Path("here"))
    assert time.process_time() - began < 10


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/random", "/dev/tty"])
def test_a_device_is_not_even_opened(device: str) -> None:
    if Path(device).exists():
        with pytest.raises(OSError, match="is a device, not a regular file"):
            read_bounded(Path(device))


def test_a_folder_that_is_a_link_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/here").write_text("{}")
    for target in ("real", "nowhere"):
        folder = tmp_path / f"to-{target}"
        folder.symlink_to(tmp_path / target)
        with pytest.raises(OSError, match=f"its folder .*to-{target} is a symbolic link and not followed"):
            read_bounded(folder / "here")


def test_a_folder_that_is_a_file_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory on the way to it: "):
        read_bounded(tmp_path / "file/here")


@pytest.mark.parametrize("path", ["here", "no/such/folder/here"])
def test_what_is_not_there_is_nothing(path: str, tmp_path: Path) -> None:
    assert read_bounded(tmp_path / path) is None


@pytest.mark.parametrize("size", [0, 1, LIMIT])
def test_a_file_of_ours_is_read_whole(size: int, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"x" * size)
    (tmp_path / "here").chmod(0o600)
    assert read_bounded(tmp_path / "here") == b"x" * size
