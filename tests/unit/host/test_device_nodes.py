"""Functions with device nodes of their own: a mount, an open node, or device mapper on a disk counts as use."""

from pathlib import Path

import pytest

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, holder_text
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.use.lock import holders

DISK = PciAddress(0, 3, 0, 0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An NVMe controller with one name space, and process 1."""
    function = tmp_path / f"sys/devices/pci0000:00/{DISK}"
    block = function / "nvme/nvme0/nvme0n1"
    block.mkdir(parents=True)
    (block / "dev").write_text("259:0\n")
    (block / "uevent").write_text("MAJOR=259\nDEVNAME=nvme0n1\n")
    (tmp_path / "sys/bus/pci/devices").mkdir(parents=True)
    (tmp_path / f"sys/bus/pci/devices/{DISK}").symlink_to(f"../../../devices/pci0000:00/{DISK}")
    (tmp_path / "sys/bus/pci/drivers/nvme").mkdir(parents=True)
    (function / "driver").symlink_to(tmp_path / "sys/bus/pci/drivers/nvme")
    (tmp_path / "sys/dev/block").mkdir(parents=True)
    (tmp_path / "sys/dev/block/259:0").symlink_to(block)
    (tmp_path / "sys/class/block").mkdir(parents=True)
    (tmp_path / "sys/class/block/nvme0n1").symlink_to(block)
    (tmp_path / "proc/1/fd").mkdir(parents=True)
    (tmp_path / "proc/1/ns").mkdir()
    (tmp_path / "proc/1/ns/pid").symlink_to("pid:[4026531836]")
    (tmp_path / "proc/1/comm").write_text("spdk\n")
    return tmp_path


def a_sysfs(root: Path) -> Sysfs:
    return Sysfs(root / "sys", root / "dev", root / "proc")


def test_an_idle_disk_is_free(root: Path) -> None:
    assert a_sysfs(root).device_nodes(DISK) == {"/dev/nvme0n1": ()}
    assert holders(a_sysfs(root), DISK, open_files=True) == ()


def test_a_mounted_one_is_in_use(root: Path) -> None:
    (root / "proc/1/mountinfo").write_text("22 1 259:0 / /data rw - ext4 /dev/nvme0n1 rw\n")
    assert [holder_text(holder) for holder in holders(a_sysfs(root), DISK)] == ["the file system on /data is on it"]


def test_one_that_a_process_has_open_is_in_use(root: Path) -> None:
    (root / "proc/1/fd/3").symlink_to("/dev/nvme0n1")
    assert [holder_text(holder) for holder in holders(a_sysfs(root), DISK, open_files=True)] == [
        "process 1 (spdk) has /dev/nvme0n1 open"
    ]


@pytest.mark.parametrize("opened", [True, False])
def test_where_some_processes_cannot_be_seen_it_counts_as_in_use(root: Path, opened: bool) -> None:
    (root / "proc/1/ns/pid").unlink()
    (root / "proc/1/ns/pid").symlink_to("pid:[4026532000]")
    if opened:
        (root / "proc/1/fd/3").symlink_to("/dev/nvme0n1")
    (holder,) = holders(a_sysfs(root), DISK, open_files=True)
    assert holder.cause is Cause.UNREADABLE
    assert "does not show every process" in holder_text(holder)


@pytest.mark.parametrize("holder", ["dm-3", "md127", "bcache0"])
@pytest.mark.parametrize("held", ["nvme0n1", "nvme0n1p2"])
def test_one_that_another_driver_of_the_kernel_holds_is_in_use(root: Path, held: str, holder: str) -> None:
    """A volume of LVM that a virtual machine or a Ceph OSD has open without a mount."""
    disk = root / f"sys/devices/pci0000:00/{DISK}/nvme/nvme0/nvme0n1"
    (disk / "nvme0n1p2/holders").mkdir(parents=True)
    (disk / "nvme0n1p2/dev").write_text("259:2\n")
    (disk / "nvme0n1p2/uevent").write_text("MAJOR=259\nDEVNAME=nvme0n1p2\n")
    (disk / "holders").mkdir()
    assert holders(a_sysfs(root), DISK, open_files=True) == ()
    folder = disk if held == "nvme0n1" else disk / held
    (root / f"sys/devices/virtual/block/{holder}").mkdir(parents=True)
    (folder / "holders" / holder).symlink_to(root / f"sys/devices/virtual/block/{holder}")
    assert [holder_text(found) for found in holders(a_sysfs(root), DISK, open_files=True)] == [
        f"{holder} holds /dev/{held}"
    ]
