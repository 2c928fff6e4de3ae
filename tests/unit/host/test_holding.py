"""/proc shows which process has a function open, also while the function is being unbound."""

from pathlib import Path

import pytest

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.read.holding import holders_of
from virtfn_host.linux.read.sysfs import Sysfs

VF = PciAddress.parse("0000:01:10.0")


class Tree:
    """A VF that is enabled without a driver, as during an unbind that waits, and the open files of processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        folder = root / f"sys/bus/pci/devices/{VF}"
        folder.mkdir(parents=True)
        (folder / "enable").write_text("1\n")
        self.sysfs = Sysfs(root / "sys", root / "dev", root / "proc")

    def opens(self, pid: int, name: str, target: str) -> None:
        fds = self.root / f"proc/{pid}/fd"
        fds.mkdir(parents=True)
        (fds / "3").symlink_to(target)
        (fds.parent / "comm").write_text(f"{name}\n")

    def told(self) -> str:
        found = holders_of(self.sysfs, [VF])
        assert found is not None
        return found.text


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_one_whose_cdev_is_gone_already_is_named_by_the_file_that_he_has_open(tree: Tree) -> None:
    tree.opens(7, "dpdk", "/dev/vfio/devices/vfio0 (deleted)")
    tree.opens(8, "other", "/dev/vfio/devices/vfio1")
    assert tree.told() == f"{VF} is open: process 7 (dpdk) has /dev/vfio/devices/vfio0 (deleted) open"


def test_one_that_is_bound_is_not_said_to_be_open_by_a_cdev_that_is_gone(tree: Tree) -> None:
    (tree.root / f"sys/bus/pci/devices/{VF}/vfio-dev/vfio1").mkdir(parents=True)
    (tree.root / f"sys/bus/pci/devices/{VF}/driver").symlink_to("../../../bus/pci/drivers/vfio-pci")
    tree.opens(7, "dpdk", "/dev/vfio/devices/vfio0 (deleted)")
    assert tree.told() == f"{VF} is open: by one of those with a vfio device open: process 7 (dpdk)"


def test_where_nothing_tells_which_of_them_all_are_named(tree: Tree) -> None:
    tree.opens(7, "dpdk", "anon_inode:[vfio-device]")
    tree.opens(8, "qemu", "/dev/vfio/devices/vfio1")
    text = tree.told()
    assert text.startswith(f"{VF} is open: by one of those with a vfio device open: ")
    assert {"process 7 (dpdk)", "process 8 (qemu)"} == set(text.rpartition("open: ")[2].split(", "))


def test_nobody_shows(tree: Tree) -> None:
    tree.opens(7, "sh", "/dev/null")
    assert tree.told() == f"{VF} is open: by an unknown process"
