"""The end of a policy changes no link setting that virtfn neither set nor lost."""

from typing import Any

import pytest
from hardware import Lab
from numbers_of_vfs import on, remade, turn

from virtfn_host.core.values.desired import PolicyConfig, PoolRequest
from virtfn_host.core.values.model import LinkRequest, VfLink
from virtfn_host.linux.look.inventory import read_inventory

MAC = "02:00:00:00:00:07"
OTHERS: tuple[dict[str, Any], ...] = ({"vlan": 100, "vlan_qos": 3}, {"mac": MAC}, {"spoof_check": False})


def asked(lab: Lab, count: int | None = None, indexes: tuple[int, ...] | None = None, **link: Any) -> PolicyConfig:
    pool = PoolRequest(
        resource_name="virtfn.dev/fast",
        indexes=indexes,
        driver="vfio-pci",
        link=LinkRequest(**link) if link else None,
    )
    return on(lab, count, pools=(pool,))


def administrator(lab: Lab, index: int, **setting: Any) -> None:
    """`ip link set PF vf INDEX ...`."""
    assert lab.machine.netlink is not None
    lab.machine.netlink.set_vf(lab.ifindex(lab.pf), index, VfLink(**setting))


def links(lab: Lab) -> list[VfLink]:
    pf = read_inventory(lab.sysfs, netlink=lab.machine.netlink).pf(lab.pf)
    assert pf is not None
    return [vf.link for vf in pf.vfs if vf.link is not None]


def shown(lab: Lab, index: int = 0) -> tuple[object, ...]:
    link = links(lab)[index]
    return link.vlan, link.vlan_qos, link.mac, link.spoof_check


@pytest.mark.parametrize("count", [None, 2])
@pytest.mark.parametrize("dropped", ["the policy", "the index"])
def test_settings_that_no_policy_asked_for_stay(lab: Lab, count: int | None, dropped: str) -> None:
    remade(lab, 2, autoprobe=True)
    assert turn(lab, asked(lab, count)) == []
    for setting in OTHERS:
        administrator(lab, 0, **setting)
    after = [asked(lab, count, indexes=(1,))] if dropped == "the index" else []
    assert turn(lab, *after) == []
    assert shown(lab) == (100, 3, MAC, False)
    assert turn(lab) == []
    assert shown(lab) == (100, 3, MAC, False)
    assert lab.machine.journal.originals() == ()


def test_of_a_policy_with_settings_only_those_are_given_back(lab: Lab) -> None:
    remade(lab, 2, autoprobe=True)
    administrator(lab, 0, vlan=33, vlan_qos=2)
    assert turn(lab, asked(lab, vlan=5, trust=True)) == []
    administrator(lab, 0, mac=MAC)
    administrator(lab, 0, spoof_check=False)
    administrator(lab, 1, spoof_check=False)
    assert turn(lab) == []
    assert [shown(lab), shown(lab, 1)[:2]] == [(33, 2, MAC, False), (0, 0)]
    assert [(link.trust, link.spoof_check) for link in links(lab)] == [(False, False)] * 2
    assert lab.machine.journal.originals() == ()


def test_a_setting_of_an_administrator_that_a_later_edit_replaces_comes_back(lab: Lab) -> None:
    remade(lab, 2, autoprobe=True)
    assert turn(lab, asked(lab)) == []
    administrator(lab, 0, vlan=100, vlan_qos=3)
    assert turn(lab, asked(lab, vlan=5)) == []
    assert turn(lab, asked(lab, vlan=6)) == []
    assert [link.vlan for link in links(lab)] == [6, 6]
    assert turn(lab) == []
    assert [(link.vlan, link.vlan_qos) for link in links(lab)] == [(100, 3), (0, 0)]


def test_a_vf_that_was_given_back_is_the_administrators(lab: Lab) -> None:
    remade(lab, 2, autoprobe=True)
    assert turn(lab, asked(lab, vlan=5)) == []
    assert turn(lab, asked(lab, indexes=(1,), vlan=5)) == []
    assert [link.vlan for link in links(lab)] == [0, 5]
    administrator(lab, 0, vlan=100, vlan_qos=0)
    assert turn(lab) == []
    assert [link.vlan for link in links(lab)] == [100, 0]


def test_settings_that_an_edit_takes_off_a_policy_are_given_back_at_its_end(lab: Lab) -> None:
    remade(lab, 2, autoprobe=True)
    assert turn(lab, asked(lab, vlan=5)) == []
    assert turn(lab, asked(lab)) == []
    assert turn(lab) == []
    assert [link.vlan for link in links(lab)] == [0, 0]


def test_once_virtfn_has_made_the_vfs_anew_everything_is_given_back(lab: Lab) -> None:
    remade(lab, 2, autoprobe=True)
    for setting in OTHERS:
        administrator(lab, 0, **setting)
    assert turn(lab, asked(lab, vlan=5)) == []
    assert turn(lab, asked(lab, count=3)) == [0, 3]
    assert shown(lab)[0] == 0
    assert turn(lab) == [0, 2]
    assert shown(lab) == (100, 3, MAC, False)
    assert lab.machine.journal.originals() == ()
