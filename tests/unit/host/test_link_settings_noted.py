"""What a VF's link settings were is noted right before virtfn sets them, and only of those that it sets."""

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hardware import Lab
from inventories import a_link_policy
from kernel import FakeKernel
from numbers_of_vfs import on, once, refusal, remade, turn

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig
from virtfn_host.core.values.model import InUse, LinkState, VfLink
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux.act import journal
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.act.journal import has_links
from virtfn_host.linux.errors import NetlinkError
from virtfn_host.linux.look.inventory import read_inventory


@pytest.fixture
def fake(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path / "root")


@pytest.fixture
def lab(fake: FakeKernel) -> Iterator[Lab]:
    """A PF with two VFs of another program, whose driver is igbvf."""
    made = Lab(fake.machine(), fake)
    remade(made, 2, autoprobe=True)
    yield made
    made.machine.writer.close()


def asking(lab: Lab, count: int | None = None, **link: Any) -> PolicyConfig:
    return replace(a_link_policy(count=count, **link), devices=(DeviceMatcher(address=lab.pf),))


def noted(lab: Lab) -> list[VfLink | None]:
    return [vf.link_before for entry in lab.machine.journal.originals() for vf in entry.vfs]


def vlans(lab: Lab) -> list[int | None]:
    pf = read_inventory(lab.sysfs, netlink=lab.machine.netlink).pfs[0]
    return [vf.link.vlan for vf in pf.vfs if vf.link is not None]


def administrator(lab: Lab, index: int, **setting: Any) -> None:
    assert lab.machine.netlink is not None
    lab.machine.netlink.set_vf(lab.ifindex(lab.pf), index, VfLink(**setting))


def test_each_setting_is_in_the_journal_before_the_first_write_of_it(fake: FakeKernel, lab: Lab) -> None:
    seen: list[list[VfLink | None]] = []
    fake.before_write = lambda: seen.append(noted(lab))
    turn(lab, asking(lab, vlan=5, trust=True))
    assert seen[0] == [VfLink(vlan=0, vlan_qos=0, trust=False)] * 2
    turn(lab, asking(lab, vlan=6, spoof_check=False))
    assert noted(lab) == [VfLink(vlan=0, vlan_qos=0, trust=False, spoof_check=True)] * 2


def test_without_settings_that_are_asked_for_nothing_is_to_be_given_back(lab: Lab) -> None:
    turn(lab, on(lab, None))
    (entry,) = lab.machine.journal.originals()
    assert [vf.link is None for vf in entry.vfs] == [False, False]
    assert noted(lab) == [None, None]
    assert not has_links([entry])
    assert "linkBefore" not in lab.machine.journal.path.read_text()


def test_what_was_given_back_or_asked_for_as_it_was_is_noted_no_more(lab: Lab) -> None:
    turn(lab, asking(lab, vlan=5, trust=True))
    turn(lab, asking(lab, vlan=0, vlan_qos=0, trust=True))
    assert noted(lab) == [VfLink(trust=False)] * 2


def test_half_of_a_vlan_that_is_as_it_was_is_kept_with_the_other_half(lab: Lab) -> None:
    administrator(lab, 0, vlan=100, vlan_qos=3)
    turn(lab, asking(lab, vlan=5, vlan_qos=3))
    assert noted(lab)[0] == VfLink(vlan=100, vlan_qos=3)
    turn(lab)
    assert vlans(lab) == [100, 0]


@pytest.mark.parametrize("first", [{}, {"vlan": 5}])
def test_a_setting_that_is_refused_is_noted_no_more_and_others_are(lab: Lab, first: dict[str, int]) -> None:
    assert refusal(lab, asking(lab, link_state=LinkState.ENABLE, **first)) is Reason.LINK_SETTING_REFUSED
    assert noted(lab) == [VfLink(vlan=0, vlan_qos=0) if first else None] * 2


def test_a_setting_that_a_driver_drops_in_silence_is_noted_no_more(fake: FakeKernel, lab: Lab) -> None:
    fake.instead.link = lambda asked: VfLink() if asked.trust else asked
    assert refusal(lab, asking(lab, vlan=5, trust=True)) is Reason.DRIVER_MADE_OTHER
    assert noted(lab) == [VfLink(vlan=0, vlan_qos=0)] * 2


def test_a_setting_that_becomes_another_one_is_given_back(fake: FakeKernel, lab: Lab) -> None:
    fake.instead.link = lambda asked: replace(asked, vlan=7) if asked.vlan else asked
    assert refusal(lab, asking(lab, vlan=5)) is Reason.DRIVER_MADE_OTHER
    turn(lab)
    assert vlans(lab) == [0, 0]


def test_a_setting_that_the_kernel_may_still_make_stays_noted(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object) -> None:
        raise NetlinkError("no answer")

    assert lab.machine.netlink is not None
    monkeypatch.setattr(lab.machine.netlink, "set_vf", late)
    once(lab, asking(lab, vlan=5))
    assert noted(lab) == [VfLink(vlan=0, vlan_qos=0)] * 2


def test_nothing_is_noted_of_a_vf_that_a_pod_has_opened_since_the_plan(fake: FakeKernel, lab: Lab) -> None:
    turn(lab, on(lab, None))
    inventory = read_inventory(lab.sysfs, netlink=lab.machine.netlink)
    config = NodeConfig(policies=(asking(lab, vlan=5),))
    desired = resolve(config, inventory, lab.machine.journal.originals()).desired
    made = plan(inventory, desired, InUse(holders=()))
    fake.open_device(inventory.pfs[0].vfs[0].address)
    assert [result.reason for result in apply(made, lab.machine).results] == [Reason.VFS_IN_USE, None]
    assert vlans(lab) == [0, 5]
    assert noted(lab) == [None, VfLink(vlan=0, vlan_qos=0)]


@pytest.mark.parametrize("writes", [0, 1])
def test_a_kill_between_note_and_write_loses_nothing_and_changes_nothing(
    fake: FakeKernel, lab: Lab, writes: int
) -> None:
    administrator(lab, 0, vlan=33, vlan_qos=0)
    fake.killed_after = writes
    with pytest.raises(InterruptedError):
        once(lab, asking(lab, vlan=5, trust=True))
    fake.killed_after = None
    assert vlans(lab) == [33, 0] if not writes else [5, 0]
    assert noted(lab)[0] == VfLink(vlan=33, vlan_qos=0, trust=False)
    before = len(fake.writes)
    turn(lab)
    assert vlans(lab) == [33, 0]
    assert len([path for path, _ in fake.writes[before:] if "rtnetlink" in path]) == writes
    assert lab.machine.journal.originals() == ()


def test_the_settings_of_an_entry_without_that_note_stay_as_they_are(lab: Lab) -> None:
    """An earlier version made it, and did not say which settings it set."""
    turn(lab, asking(lab, vlan=5))
    (entry,) = lab.machine.journal.originals()
    lab.machine.journal._write([replace(entry, vfs=tuple(replace(vf, link_before=None) for vf in entry.vfs))])
    administrator(lab, 0, vlan=100, vlan_qos=0)
    turn(lab)
    assert vlans(lab) == [100, 5]
    assert lab.machine.journal.originals() == ()


def test_a_vf_that_came_later_keeps_what_was_set(lab: Lab) -> None:
    turn(lab, on(lab, None))
    remade(lab, 3, autoprobe=True)
    turn(lab, asking(lab, vlan=5))
    assert noted(lab) == [VfLink(vlan=0, vlan_qos=0)] * 2
    turn(lab)
    assert vlans(lab) == [0, 0, 5]


def test_after_a_number_of_its_own_everything_is_given_back_and_nothing_more_is_noted(lab: Lab) -> None:
    administrator(lab, 0, vlan=33, vlan_qos=2)
    turn(lab, on(lab, 3))
    turn(lab, asking(lab, count=3, vlan=5))
    assert noted(lab) == [None, None]
    turn(lab)
    assert vlans(lab) == [33, 0]


def test_a_pf_whose_netdev_is_away_is_given_back_where_no_setting_was_asked_for(fake: FakeKernel, lab: Lab) -> None:
    turn(lab, on(lab, None))
    (netdev,) = (fake.devices / str(lab.pf) / "net").iterdir()
    netdev.rename(fake.root / "elsewhere")
    assert turn(lab) == []
    assert lab.machine.journal.originals() == ()


def test_a_journal_that_cannot_be_written_sets_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    turn(lab, on(lab, None))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal, "write_atomically", full)
    assert refusal(lab, asking(lab, vlan=5)) is Reason.JOURNAL_UNREADABLE
    assert vlans(lab) == [0, 0]
