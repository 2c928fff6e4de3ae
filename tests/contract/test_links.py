"""Link settings of VFs through their PF, as igb takes and refuses them, and our steps on top."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hardware import Lab
from inventories import a_link_policy

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.desired import Desired, DeviceMatcher, NodeConfig, PolicyConfig
from virtfn_host.core.values.holders import Cause, holder_text
from virtfn_host.core.values.mac import ZERO_MAC, stable_mac
from virtfn_host.core.values.model import Lasting, LinkState, Vf, VfLink
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, Report
from virtfn_host.core.values.steps import Blocked, FunctionRef, SetLink, plan_of
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.errors import NetlinkRefusedError
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.netlink.asks import Addresses, Netlink
from virtfn_host.linux.use.lock import evidence, holders

MAC = "02:00:00:00:00:07"
EINVAL, EOPNOTSUPP = 22, 95
NO_IFINDEX = 2**30


@pytest.fixture
def netlink(lab: Lab) -> Iterator[Netlink]:
    """PFs up as an administrator leaves them, and down afterwards as the rest of the contract expects them."""
    assert lab.machine.netlink is not None
    for pf in lab.pfs:
        lab.set_up(pf, True)
    yield lab.machine.netlink
    for pf in lab.pfs:
        lab.set_up(pf, False)


def on(lab: Lab, count: int | None = 2, driver: str = "vfio-pci", **link: Any) -> PolicyConfig:
    policy = a_link_policy(count=count, **link)
    pools = tuple(replace(pool, driver=driver) for pool in policy.pools)
    return replace(policy, devices=(DeviceMatcher(address=lab.pf),), pools=pools)


def converge(lab: Lab, *policies: PolicyConfig) -> tuple[Report, Desired, tuple[Blocked, ...]]:
    """Observe, resolve, plan, apply: once."""
    inventory = read_inventory(lab.sysfs, netlink=lab.machine.netlink)
    desired = resolve(NodeConfig(policies=policies), inventory, lab.machine.journal.originals()).desired
    made = plan(inventory, desired, evidence(lab.sysfs, inventory, netlink=lab.machine.netlink))
    return apply(made, lab.machine), desired, made.blocked


def assert_converged(lab: Lab, *policies: PolicyConfig) -> None:
    report, desired, blocked = converge(lab, *policies)
    assert [result.message for result in report.results if result.outcome is not Outcome.DONE] == []
    assert blocked == ()
    assert verify(desired, read_inventory(lab.sysfs, netlink=lab.machine.netlink)) == ()


def vfs(lab: Lab) -> tuple[Vf, ...]:
    pf = read_inventory(lab.sysfs, netlink=lab.machine.netlink).pf(lab.pf)
    assert pf is not None
    return pf.vfs


def links(lab: Lab) -> list[VfLink | None]:
    return [vf.link for vf in vfs(lab)]


def answer(lab: Lab, index: int = 0, **setting: Any) -> int:
    """What the kernel answers to one setting, 0 for yes."""
    assert lab.machine.netlink is not None
    try:
        lab.machine.netlink.set_vf(lab.ifindex(lab.pf), index, VfLink(**setting))
    except NetlinkRefusedError as error:
        return error.errno
    return 0


# --- the kernel ------------------------------------------------------------------------------------------------------


def test_a_new_vf_has_no_settings(lab: Lab, netlink: Netlink) -> None:
    lab.make(lab.pf, 1)
    (shown,) = netlink.links(lab.netdev(lab.pf)).vfs
    link = shown.link
    assert (link.mac, link.vlan, link.vlan_qos, link.max_tx_rate) == (ZERO_MAC, 0, 0, 0)
    assert (link.trust, link.spoof_check, link.link_state) == (False, True, LinkState.AUTO)


def test_settings_are_shown_as_they_were_set_and_end_with_the_vf(lab: Lab, netlink: Netlink) -> None:
    lab.make(lab.pf, 2)
    settings = ({"mac": MAC}, {"vlan": 100, "vlan_qos": 3}, {"trust": True}, {"spoof_check": False})
    assert [answer(lab, 1, **setting) for setting in settings] == [0, 0, 0, 0]
    link = netlink.links(lab.netdev(lab.pf)).vf(1)
    assert link is not None
    assert (link.mac, link.vlan, link.vlan_qos, link.trust, link.spoof_check) == (MAC, 100, 3, True, False)
    lab.raw(lab.sysfs.device(lab.pf, "sriov_numvfs"), "0")
    lab.make(lab.pf, 2)
    again = netlink.links(lab.netdev(lab.pf)).vf(1)
    assert again is not None
    assert (again.mac, again.vlan, again.trust, again.spoof_check) == (ZERO_MAC, 0, False, True)


def test_what_igb_refuses(lab: Lab, netlink: Netlink) -> None:
    lab.make(lab.pf, 1)
    assert answer(lab, link_state=LinkState.ENABLE) == EOPNOTSUPP
    assert answer(lab, node_guid="02:00:00:00:00:00:00:07") == EOPNOTSUPP
    assert answer(lab, port_guid="02:00:00:00:00:00:00:07") == EOPNOTSUPP
    assert answer(lab, mac="01:00:00:00:00:07") == EINVAL
    assert answer(lab, min_tx_rate=10, max_tx_rate=100) == EINVAL
    assert answer(lab, min_tx_rate=0, max_tx_rate=4_000_000) == EINVAL
    assert answer(lab, 5, trust=True) == EINVAL


def test_a_pf_that_is_down_takes_everything_but_a_rate(lab: Lab, netlink: Netlink) -> None:
    lab.make(lab.pf, 1)
    lab.set_up(lab.pf, False)
    assert netlink.links(lab.netdev(lab.pf)).up is False
    assert [answer(lab, mac=MAC), answer(lab, vlan=5, vlan_qos=0), answer(lab, trust=True)] == [0, 0, 0]
    assert answer(lab, min_tx_rate=0, max_tx_rate=100) == EINVAL


def test_a_netdev_that_is_not_there_is_no_answer(lab: Lab, netlink: Netlink) -> None:
    with pytest.raises(NetlinkRefusedError):
        netlink.links("none0")
    with pytest.raises(NetlinkRefusedError):
        netlink.set_vf(NO_IFINDEX, 0, VfLink(trust=True))


def test_netlink_and_sysfs_tell_one_ifindex(lab: Lab, netlink: Netlink) -> None:
    assert netlink.links(lab.netdev(lab.pf)).ifindex == netlink.mtu(lab.netdev(lab.pf)).ifindex == lab.ifindex(lab.pf)


def test_a_netdev_is_told_by_its_name_or_its_ifindex(lab: Lab, netlink: Netlink) -> None:
    lab.make(lab.pf, 2)
    name, ifindex = lab.netdev(lab.pf), lab.ifindex(lab.pf)
    assert netlink.links(ifindex) == netlink.links(name)
    assert netlink.mtu(ifindex) == netlink.mtu(name)
    for ask in (netlink.links, netlink.mtu):
        with pytest.raises(NetlinkRefusedError):
            ask(NO_IFINDEX)


def test_a_mac_that_a_vfs_driver_made_up_counts_as_none(lab: Lab, netlink: Netlink) -> None:
    lab.machine.modules.load("igbvf", 30)
    lab.make(lab.pf, 1, autoprobe=True)
    (link,) = links(lab)
    assert link is not None
    assert link.mac == ZERO_MAC
    assert answer(lab, mac=MAC) == 0
    assert [link.mac for link in links(lab) if link] == [MAC]


def test_an_address_of_a_netdev_that_is_down_is_use(lab: Lab, netlink: Netlink) -> None:
    lab.machine.modules.load("igbvf", 30)
    (vf,) = lab.make(lab.pf, 1, autoprobe=True)
    lab.set_up(vf, False)
    assert holders(lab.sysfs, vf, addresses=Addresses(netlink)) == ()
    lab.assign(vf, "10.9.8.7")
    lab.set_up(vf, False)
    try:
        (holder,) = holders(lab.sysfs, vf, addresses=Addresses(netlink))
        assert holder.cause is Cause.NETDEV_ADDRESS
        assert "10.9.8.7" in holder_text(holder)
    finally:
        lab.assign(vf, "0.0.0.0")


# --- our steps -------------------------------------------------------------------------------------------------------


def test_a_pool_gets_its_settings_and_keeps_them_over_a_resize(lab: Lab, netlink: Netlink) -> None:
    settings: dict[str, Any] = {"vlan": 100, "vlan_qos": 3, "trust": True, "spoof_check": False, "max_tx_rate": 100}
    assert_converged(lab, on(lab, **settings))
    first = links(lab)
    assert all(link is not None and (link.vlan, link.max_tx_rate) == (100, 100) for link in first)
    assert_converged(lab, on(lab, count=3, **settings))
    assert links(lab)[:2] == first
    report, _, _ = converge(lab, on(lab, count=3, **settings))
    assert report.results == ()


def test_every_vf_has_the_mac_that_follows_from_its_pf_and_index(lab: Lab, netlink: Netlink) -> None:
    assert_converged(lab, on(lab, mac=Lasting.STABLE))
    mac = netlink.links(lab.netdev(lab.pf)).mac
    assert mac is not None
    assert [link.mac for link in links(lab) if link] == [stable_mac(mac, 0), stable_mac(mac, 1)]


def test_the_netdev_of_a_kernel_pool_bears_that_mac(lab: Lab, netlink: Netlink) -> None:
    lab.machine.modules.load("igbvf", 30)
    assert_converged(lab, on(lab, count=1, driver="kernel", mac=Lasting.STABLE))
    (vf,) = vfs(lab)
    assert vf.link is not None
    assert lab.sysfs.read(lab.sysfs.device(vf.address, "net", lab.netdev(vf.address), "address")) == vf.link.mac


def test_that_mac_is_ours_also_when_the_driver_had_made_one_up_before(lab: Lab, netlink: Netlink) -> None:
    """igbvf makes one up while its PF is down or busy, later takes the one that was set, and leaves the mark."""
    lab.machine.modules.load("igbvf", 30)
    lab.set_up(lab.pf, False)
    _, desired, _ = converge(lab, on(lab, count=1, driver="kernel", mac=Lasting.STABLE))
    lab.set_up(lab.pf, True)
    (vf,) = vfs(lab)
    assert vf.link is not None
    netdev = lab.netdev(vf.address)
    until = time.monotonic() + 60
    while lab.sysfs.read(lab.sysfs.device(vf.address, "net", netdev, "address")) != vf.link.mac:
        assert time.monotonic() < until
        lab.set_up(vf.address, True)
        lab.set_up(vf.address, False)
    assert lab.sysfs.read(lab.sysfs.device(vf.address, "net", netdev, "addr_assign_type")) == "1"
    assert verify(desired, read_inventory(lab.sysfs, netlink=netlink)) == ()


def test_a_mac_that_an_administrator_set_is_kept(lab: Lab, netlink: Netlink) -> None:
    lab.make(lab.pf, 2)
    assert answer(lab, 1, mac=MAC) == 0
    assert_converged(lab, on(lab, count=4, mac=Lasting.STABLE))
    assert [link.mac for link in links(lab) if link][1] == MAC


def test_a_mac_that_nobody_asks_for_is_not_set(lab: Lab, netlink: Netlink) -> None:
    assert_converged(lab, on(lab, vlan=100))
    assert [link.mac for link in links(lab) if link] == [ZERO_MAC, ZERO_MAC]
    assert answer(lab, 1, mac=MAC) == 0
    assert_converged(lab, on(lab, vlan=100))
    assert [link.mac for link in links(lab) if link] == [ZERO_MAC, MAC]


def test_a_setting_that_somebody_changed_is_put_right_without_touching_the_driver(lab: Lab, netlink: Netlink) -> None:
    assert_converged(lab, on(lab, vlan=100))
    assert answer(lab, 1, vlan=7, vlan_qos=0) == 0
    report, desired, _ = converge(lab, on(lab, vlan=100))
    assert [type(result.step) for result in report.results] == [SetLink]
    assert verify(desired, read_inventory(lab.sysfs, netlink=netlink)) == ()


def test_a_setting_of_a_held_vf_waits_and_holds_up_nothing_else(lab: Lab, netlink: Netlink) -> None:
    assert_converged(lab, on(lab, vlan=100))
    held = vfs(lab)[0].address
    with lab.used(held):
        report, _, blocked = converge(lab, on(lab, vlan=200))
        assert [(b.device, b.reason) for b in blocked] == [(held, Reason.VFS_IN_USE)]
        assert [result.outcome for result in report.results] == [Outcome.DONE]
        assert [link.vlan for link in links(lab) if link] == [100, 200]
        ref = FunctionRef(pf=lab.pf, index=0, address=held)
        step = SetLink(function=ref, value=VfLink(vlan=200, vlan_qos=0), expects=VfLink(vlan=100, vlan_qos=0))
        (result,) = apply(plan_of([step]), lab.machine).results
        assert result.reason is Reason.VFS_IN_USE
    assert_converged(lab, on(lab, vlan=200))


def test_a_step_that_expects_another_setting_is_stale(lab: Lab, netlink: Netlink) -> None:
    (vf,) = lab.make(lab.pf, 1)
    ref = FunctionRef(pf=lab.pf, index=0, address=vf)
    step = SetLink(function=ref, value=VfLink(trust=True), expects=VfLink(trust=True))
    (result,) = apply(plan_of([step]), lab.machine).results
    assert result.reason is Reason.STALE_SNAPSHOT
    assert [link.trust for link in links(lab) if link] == [False]


def test_a_setting_that_the_driver_does_not_know_is_refused_and_the_vf_is_bound_all_the_same(
    lab: Lab, netlink: Netlink
) -> None:
    report, _, _ = converge(lab, on(lab, count=1, link_state=LinkState.ENABLE, vlan=9))
    (failed,) = [result for result in report.results if result.outcome is not Outcome.DONE]
    assert failed.reason is Reason.LINK_SETTING_REFUSED
    assert "state enable" in failed.message
    assert "EOPNOTSUPP" in failed.message
    (vf,) = vfs(lab)
    assert vf.driver == "vfio-pci"
    assert vf.link is not None
    assert vf.link.vlan == 9


def test_a_rate_waits_for_a_pf_that_is_down_and_the_rest_is_done(lab: Lab, netlink: Netlink) -> None:
    lab.set_up(lab.pf, False)
    report, _, blocked = converge(lab, on(lab, count=1, vlan=9, max_tx_rate=100))
    assert [result.message for result in report.results if result.outcome is not Outcome.DONE] == []
    assert [b.reason for b in blocked] == [Reason.LINK_SETTING_REFUSED]
    assert f"ip link set {lab.netdev(lab.pf)} up" in blocked[0].message
    assert [vf.driver for vf in vfs(lab)] == ["vfio-pci"]
    lab.set_up(lab.pf, True)
    assert_converged(lab, on(lab, count=1, vlan=9, max_tx_rate=100))


def test_settings_that_were_there_are_given_back_also_after_the_vfs_were_made_anew(lab: Lab, netlink: Netlink) -> None:
    lab.make(lab.pf, 2)
    assert answer(lab, 0, mac=MAC) == 0
    assert answer(lab, 1, vlan=33, vlan_qos=2) == 0
    before = links(lab)
    assert_converged(lab, on(lab, count=4, vlan=100, trust=True))
    assert_converged(lab)
    assert links(lab) == before
    assert lab.machine.journal.originals() == ()


def test_settings_are_given_back_although_no_policy_ever_asked_for_any(lab: Lab, netlink: Netlink) -> None:
    lab.make(lab.pf, 1)
    assert answer(lab, 0, mac=MAC) == 0
    policy = on(lab, count=3)
    assert_converged(lab, replace(policy, pools=tuple(replace(pool, link=None) for pool in policy.pools)))
    assert_converged(lab)
    assert [link.mac for link in links(lab) if link] == [MAC]
