"""A virtio card has its netdev below `virtioN`: it is found there, and its use counts."""

from pathlib import Path

import pytest

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import holder_text
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.use.lock import holders

CARD = PciAddress(0, 3, 0, 0)


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    card = tmp_path / f"sys/bus/pci/devices/{CARD}"
    (card / "virtio2/net/ens3").mkdir(parents=True)
    (tmp_path / "sys/bus/pci/drivers/virtio-pci").mkdir(parents=True)
    (card / "driver").symlink_to("../../drivers/virtio-pci")
    for name, text in (("vendor", "0x1af4"), ("device", "0x1041"), ("class", "0x020000"), ("enable", "1")):
        (card / name).write_text(f"{text}\n")
    (card / "virtio2/net/ens3/flags").write_text("0x1003\n")
    return Sysfs(tmp_path / "sys", tmp_path / "dev", tmp_path / "proc")


def test_its_netdev_is_listed(sysfs: Sysfs) -> None:
    (function,) = read_inventory(sysfs).functions
    assert function.netdevs == ("ens3",)


def test_its_netdev_that_is_up_is_a_user(sysfs: Sysfs) -> None:
    (holder,) = holders(sysfs, CARD)
    assert holder_text(holder) == "its netdev ens3 is up"
