"""How a PF stands is the same at every look, and another once its driver was bound anew or its netdev set up."""

import subprocess
from pathlib import Path

import pytest

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.act.standing import standings
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.read.sysfs import Sysfs

DRIVER = Path("/sys/bus/pci/drivers/igb")


@pytest.fixture
def pf() -> PciAddress:
    subprocess.run(["modprobe", "-a", "igb"], check=True)
    return next(pf.address for pf in read_inventory(Sysfs()).pfs if pf.driver == "igb")


def netdev(pf: PciAddress) -> str:
    return next(Path(f"/sys/bus/pci/devices/{pf}/net").iterdir()).name


def test_it_is_the_same_at_every_look(pf: PciAddress) -> None:
    before = standings(Sysfs(), pf)
    for _ in range(3):
        # Without its inodes in memory the kernel makes new ones, and they must have the same numbers.
        Path("/proc/sys/vm/drop_caches").write_text("2")
        assert standings(Sysfs(), pf) == before
    for number in ("2", "0"):
        Path(f"/sys/bus/pci/devices/{pf}/sriov_numvfs").write_text(number)
        assert standings(Sysfs(), pf) == before


def test_a_driver_that_was_bound_anew_is_another(pf: PciAddress) -> None:
    seen = {standings(Sysfs(), pf)[0]}
    for _ in range(3):
        (DRIVER / "unbind").write_text(str(pf))
        (DRIVER / "bind").write_text(str(pf))
        seen.add(standings(Sysfs(), pf)[0])
    assert len(seen) == 4


def test_a_netdev_that_was_set_up_is_another(pf: PciAddress) -> None:
    name = netdev(pf)
    subprocess.run(["ip", "link", "set", name, "down"], check=True)
    down, card = standings(Sysfs(), pf)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    up, same = standings(Sysfs(), pf)
    subprocess.run(["ip", "link", "set", name, "down"], check=True)
    assert up != down
    assert card == same
    assert standings(Sysfs(), pf)[0] == down
