"""Names of netdevs and IDs of VFs as the kernel tells them: alternative names by rtnetlink alone, ports not by igb."""

from pathlib import Path

import pytest
from hardware import Lab

from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.look.other_names import asked_names
from virtfn_host.linux.look.own_drivers import vf_modalias
from virtfn_host.linux.touch.ports import in_switchdev_mode, own_netdev


@pytest.mark.parametrize("other", ["enp1s0f0np0", "a-name-that-is-longer-than-fifteen-bytes"])
def test_an_alternative_name_is_told_by_netlink_and_by_no_file(lab: Lab, other: str) -> None:
    netlink, netdev = lab.machine.netlink, lab.netdev(lab.pf)
    assert netlink is not None
    with lab.named_also(lab.pf, other):
        assert netlink.other_names()[netdev] == (other,)
        pf = read_inventory(lab.sysfs, asked=asked_names([other], netlink)).pf(lab.pf)
        assert pf is not None
        assert pf.netdevs == (netdev, other)
        folder = Path(lab.sysfs.device(lab.pf, "net", netdev))
        assert not [file.name for file in folder.iterdir() if file.name == other]
    assert netdev not in netlink.other_names()


def test_a_card_without_a_switch_has_one_netdev_and_it_is_its_own(lab: Lab) -> None:
    netdev = lab.netdev(lab.pf)
    assert own_netdev(lab.sysfs, lab.pf) == netdev
    assert not in_switchdev_mode(lab.sysfs, lab.pf, netdev)


def test_a_pf_tells_the_ids_of_its_vfs_before_there_are_any(lab: Lab) -> None:
    told = vf_modalias(lab.sysfs, lab.pf)
    (vf,) = lab.make(lab.pf, 1)
    alias = lab.sysfs.read(lab.sysfs.device(vf, "modalias"))
    assert told is not None
    assert alias is not None
    assert told.partition("sv")[0] == alias.partition("sv")[0]
    assert told.rpartition("bc")[2][:2] == alias.rpartition("bc")[2][:2]


def test_a_function_answers_on_the_bus(lab: Lab) -> None:
    assert lab.sysfs.answers(lab.pf)
