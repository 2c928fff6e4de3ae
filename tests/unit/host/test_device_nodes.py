"""Functions with device nodes of their own: a mount or an open node counts as use, a network card's clock does not."""

from pathlib import Path

import pytest

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import holder_text
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
    (tmp_path / "proc/1/comm").write_text("spdk\n")
    return tmp_path


def a_sysfs(root: Path) -> Sysfs:
    return Sysfs(root / "sys", root / "dev", root / "proc")


def test_an_idle_disk_is_free(root: Path) -> None:
    assert a_sysfs(root).device_nodes(DISK) == ("/dev/nvme0n1",)
    assert holders(a_sysfs(root), DISK, open_files=True) == ()


def test_a_mounted_one_is_in_use(root: Path) -> None:
    (root / "proc/1/mountinfo").write_text("22 1 259:0 / /data rw - ext4 /dev/nvme0n1 rw\n")
    assert [holder_text(holder) for holder in holders(a_sysfs(root), DISK)] == ["the file system on /data is on it"]


def test_one_that_a_process_has_open_is_in_use(root: Path) -> None:
    (root / "proc/1/fd/3").symlink_to("/dev/nvme0n1")
    assert [holder_text(holder) for holder in holders(a_sysfs(root), DISK, open_files=True)] == [
        "process 1 (spdk) has /dev/nvme0n1 open"
    ]


def test_the_clock_of_a_network_card_is_no_use(root: Path) -> None:
    function = root / f"sys/devices/pci0000:00/{DISK}"
    (function / "net").mkdir()
    (function / "net/eth0").mkdir()
    (function / "net/eth0/flags").write_text("0x1002\n")
    (root / "proc/1/fd/3").symlink_to("/dev/nvme0n1")
    assert holders(a_sysfs(root), DISK, open_files=True) == ()
