"""Who has a device node open, as /proc shows it; a process that may not be looked at is not nobody."""

import os
from pathlib import Path

import pytest

from virtfn_host.linux.custody import OpenNodes
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.sysfs import Sysfs


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
    assert found.user("/dev/vfio/11") == "process 4242 (qemu-system-x86)"
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
