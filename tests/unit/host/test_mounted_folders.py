"""Folders of the node that are mounted into a container: whether they are still the node's."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from virtfn_host.linux.read.mounted import MountedFolders, StaleFolderError

POOLS, KUBELET = "/run/virtfn", "/var/lib/kubelet/device-plugins"


def mountinfo(proc: Path, mounts: dict[Path, str]) -> None:
    (proc / "self").mkdir(parents=True, exist_ok=True)
    text = "30 20 0:5 / /run rw - tmpfs tmpfs rw\n"
    for where, root in mounts.items():
        text += f"31 20 8:1 /old {where}/below rw - ext4 /dev/sda1 rw\n"
        text += f"32 20 8:1 {root} {where} rw,relatime master:1 - ext4 /dev/sda1 rw\n"
    (proc / "self/mountinfo").write_text(text)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "virtfn", tmp_path / "device-plugins"
    for path in paths:
        path.mkdir()
    return paths


def test_folders_that_stay_are_fresh(tmp_path: Path, two: tuple[Path, Path]) -> None:
    mountinfo(tmp_path / "proc", dict(zip(two, (POOLS, KUBELET), strict=True)))
    folders = MountedFolders(*two, proc=tmp_path / "proc")
    (two[1] / "x.sock").touch()
    folders.expect_fresh()


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    ("root", "said"),
    [
        ("//deleted", "was removed on the node"),
        (".old", r"was moved on the node, from (\S+) to \1\.old, so what is there now cannot be seen"),
        ("/on/another/disk", "was moved on the node"),
    ],
)  # fmt: skip
def test_one_that_was_removed_or_renamed_on_the_node_is_stale(
    tmp_path: Path, two: tuple[Path, Path], which: int, root: str, said: str
) -> None:
    before = dict(zip(two, (POOLS, KUBELET), strict=True))
    mountinfo(tmp_path / "proc", before)
    folders = MountedFolders(*two, proc=tmp_path / "proc")
    mountinfo(tmp_path / "proc", before | {two[which]: before[two[which]] + root})
    with pytest.raises(StaleFolderError, match=said) as stale:
        folders.expect_fresh()
    assert str(stale.value).startswith(f"{two[which]} ")
    assert "this process ends, so that the container is made anew" in str(stale.value)


@pytest.mark.parametrize("remove", [shutil.rmtree, os.rmdir])
def test_one_that_is_removed_while_it_is_held_is_stale(
    tmp_path: Path, two: tuple[Path, Path], remove: Callable[[Path], None]
) -> None:
    """A mount holds it as an open file does."""
    held = os.open(two[1], os.O_RDONLY)
    folders = MountedFolders(two[0], Path(f"/proc/self/fd/{held}"), proc=tmp_path)
    folders.expect_fresh()
    remove(two[1])
    two[1].mkdir()
    with pytest.raises(StaleFolderError, match="was removed on the node"):
        folders.expect_fresh()
    os.close(held)


def test_one_that_is_not_there_yet_or_is_no_mount_is_not_stale(tmp_path: Path, two: tuple[Path, Path]) -> None:
    folders = MountedFolders(*two, tmp_path / "later", proc=tmp_path)
    two[0].rmdir()
    folders.expect_fresh()
    two[0].mkdir()
    folders.expect_fresh()
