"""/proc shows which process has a device node open; a process that may not be read is an error."""

import os
from pathlib import Path

import pytest

from virtfn_host.core.values.holders import Process
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read.open_nodes import OpenNodes
from virtfn_host.linux.read.sysfs import Sysfs


def a_process(root: Path, pid: int, *targets: str) -> None:
    folder = root / f"proc/{pid}/fd"
    folder.mkdir(parents=True)
    for number, target in enumerate(targets):
        (folder / str(number)).symlink_to(target)
    (folder.parent / "comm").write_text("qemu-system-x86\n")


def nodes(root: Path) -> OpenNodes:
    return OpenNodes(Sysfs(root / "sys", root / "dev", root / "proc"))


def test_the_process_is_named(tmp_path: Path) -> None:
    a_process(tmp_path, 7, "/dev/null", "socket:[12]")
    a_process(tmp_path, 4242, "/dev/vfio/vfio", "/dev/vfio/11")
    found = nodes(tmp_path)
    assert found.user("/dev/vfio/11") == Process(pid=4242, command="qemu-system-x86")
    assert found.user("/dev/vfio/12") is None


def test_a_process_that_is_gone_is_no_user(tmp_path: Path) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    assert nodes(tmp_path).user("/dev/vfio/11") is None


def test_what_may_not_be_looked_at_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_process(tmp_path, 7, "/dev/vfio/11")

    def refused(path: Path) -> list[str]:
        if str(path).endswith("/fd"):
            raise PermissionError(13, "Permission denied")
        return ["7"]

    monkeypatch.setattr(os, "listdir", refused)
    with pytest.raises(SysfsReadError, match="7/fd could not be read: Permission denied"):
        nodes(tmp_path).user("/dev/vfio/11")


def test_a_node_that_was_removed_is_still_open(tmp_path: Path) -> None:
    a_process(tmp_path, 7, "/dev/vfio/devices/vfio3 (deleted)")
    assert nodes(tmp_path).user("/dev/vfio/devices/vfio3") == Process(pid=7, command="qemu-system-x86")


def test_a_file_that_may_not_be_looked_at_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_process(tmp_path, 7, "/dev/vfio/11")

    def refused(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "readlink", refused)
    with pytest.raises(SysfsReadError, match="7/fd/0 could not be read: Permission denied"):
        nodes(tmp_path).user("/dev/vfio/11")


def test_a_proc_without_processes_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    with pytest.raises(SysfsReadError, match="no process is shown there"):
        nodes(tmp_path).user("/dev/vfio/11")


def test_only_the_machines_own_proc_shows_everybody(tmp_path: Path) -> None:
    a_process(tmp_path, 1, "/dev/vfio/devices/vfio3")
    (tmp_path / "proc/1/ns").mkdir()
    (tmp_path / "proc/1/ns/pid").symlink_to("pid:[4026532000]")
    with pytest.raises(SysfsReadError, match="does not show every process"):
        nodes(tmp_path).user_among_all("/dev/vfio/devices/vfio3")
    (tmp_path / "proc/1/ns/pid").unlink()
    (tmp_path / "proc/1/ns/pid").symlink_to("pid:[4026531836]")
    assert nodes(tmp_path).user_among_all("/dev/vfio/devices/vfio3") == Process(pid=1, command="qemu-system-x86")


def test_a_killed_process_is_seen_by_the_thread_that_still_sits_in_the_kernel(tmp_path: Path) -> None:
    """Its first thread has nothing open any more."""
    a_process(tmp_path, 7)
    thread = tmp_path / "proc/7/task/9/fd"
    thread.mkdir(parents=True)
    (tmp_path / "proc/7/task/7/fd").mkdir(parents=True)
    (thread / "3").symlink_to("/dev/vfio/11")
    assert nodes(tmp_path).user("/dev/vfio/11") == Process(pid=7, command="qemu-system-x86")


def test_the_process_that_had_it_open_last_is_looked_at_first_and_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_process(tmp_path, 7, "/dev/null")
    a_process(tmp_path, 4242, "/dev/vfio/11")
    sysfs, last = Sysfs(tmp_path / "sys", tmp_path / "dev", tmp_path / "proc"), dict[str, str]()
    assert OpenNodes(sysfs, last).user("/dev/vfio/11") is not None
    asked: list[str] = []
    readlink = os.readlink

    def noted(path: str) -> str:
        asked.append(path)
        return readlink(path)

    monkeypatch.setattr(os, "readlink", noted)
    found = OpenNodes(sysfs, last).user("/dev/vfio/11")
    assert found == Process(pid=4242, command="qemu-system-x86")
    assert {Path(path).parts[-3] for path in asked} == {"4242"}


@pytest.mark.parametrize("now", ["another", "nobody"])
def test_one_that_has_closed_it_is_forgotten(tmp_path: Path, now: str) -> None:
    a_process(tmp_path, 4242, "/dev/vfio/11")
    sysfs, last = Sysfs(tmp_path / "sys", tmp_path / "dev", tmp_path / "proc"), dict[str, str]()
    assert OpenNodes(sysfs, last).user("/dev/vfio/11") is not None
    (tmp_path / "proc/4242/fd/0").unlink()
    if now == "another":
        a_process(tmp_path, 99, "/dev/vfio/11")
    user = OpenNodes(sysfs, last).user("/dev/vfio/11")
    assert user == (Process(pid=99, command="qemu-system-x86") if now == "another" else None)
    assert last == ({"/dev/vfio/11": "99"} if now == "another" else {})
