"""One look reads a file once; a new look reads it again."""

from pathlib import Path

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.sysfs import Sysfs

ADDRESS = PciAddress(0, 1, 0, 0)


def machine(root: Path) -> Sysfs:
    (root / "sys/devices/pci0000:00/0000:01:00.0").mkdir(parents=True)
    (root / "sys/bus/pci/devices").mkdir(parents=True)
    (root / "sys/bus/pci/devices/0000:01:00.0").symlink_to("../../../devices/pci0000:00/0000:01:00.0")
    return Sysfs(root / "sys", root / "dev", root / "proc")


def test_what_changes_during_a_look_is_seen_by_the_next_one(tmp_path: Path) -> None:
    sysfs = machine(tmp_path)
    file = tmp_path / "sys/devices/pci0000:00/0000:01:00.0/enable"
    file.write_text("0\n")
    look = OneLook(sysfs)
    assert look.read(look.device(ADDRESS, "enable")) == "0"
    file.write_text("1\n")
    assert look.read(look.device(ADDRESS, "enable")) == "0"
    again = OneLook(sysfs)
    assert again.read(again.device(ADDRESS, "enable")) == "1"


def test_a_function_is_read_where_the_link_of_the_bus_leads(tmp_path: Path) -> None:
    sysfs = machine(tmp_path)
    assert OneLook(sysfs).device(ADDRESS, "enable") == f"{tmp_path}/sys/devices/pci0000:00/0000:01:00.0/enable"
    gone = PciAddress(0, 2, 0, 0)
    assert OneLook(sysfs).device(gone, "enable") == sysfs.device(gone, "enable")
