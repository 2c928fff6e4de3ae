"""MTUs of netdevs, as igb and igbvf take and refuse them, and our steps on top."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hardware import Lab
from inventories import a_link_policy

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import Desired, DeviceMatcher, NodeConfig, PolicyConfig
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, Report
from virtfn_host.core.values.steps import Blocked, FunctionRef, SetMtu, plan_of
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.errors import NetlinkRefusedError
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.netlink.asks import Netlink
from virtfn_host.linux.use.lock import evidence

EINVAL = 22
USUAL, LARGER, LARGEST = 1500, 4000, 9216
NO_IFINDEX = 2**30


@pytest.fixture
def netlink(lab: Lab) -> Iterator[Netlink]:
    """PFs with the usual MTU, also afterwards."""
    found = lab.machine.netlink
    assert found is not None
    lab.machine.modules.load("igbvf", 30)
    yield found
    for pf in lab.pfs:
        found.set_mtu(lab.ifindex(pf), USUAL)


def on(lab: Lab, mtu: int | None, count: int | None = 2, driver: str = "kernel", name: str = "p") -> PolicyConfig:
    policy = a_link_policy(count=count)
    pools = tuple(replace(pool, driver=driver, link=None) for pool in policy.pools)
    return replace(policy, name=name, devices=(DeviceMatcher(address=lab.pf),), pools=pools, mtu=mtu)


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


def mtu(lab: Lab, function: PciAddress) -> int:
    return int(lab.sysfs.read(lab.sysfs.device(function, "net", lab.netdev(function), "mtu")) or 0)


def of_vfs(lab: Lab) -> list[int]:
    return [mtu(lab, vf) for _, vf in sorted(lab.sysfs.vf_addresses(lab.pf).items())]


def answer(lab: Lab, function: PciAddress, value: int) -> int:
    """What the kernel answers, 0 for yes."""
    assert lab.machine.netlink is not None
    try:
        lab.machine.netlink.set_mtu(lab.ifindex(function), value)
    except NetlinkRefusedError as error:
        return error.errno
    return 0


# --- the kernel ------------------------------------------------------------------------------------------------------


def test_a_netdev_shows_its_mtu_and_its_limits(lab: Lab, netlink: Netlink) -> None:
    shown = netlink.mtu(lab.netdev(lab.pf))
    assert (shown.now, shown.least, shown.most) == (USUAL, 68, LARGEST)


@pytest.mark.parametrize(("value", "errno"), [(67, EINVAL), (68, 0), (LARGER, 0), (LARGEST, 0), (LARGEST + 1, EINVAL)])
def test_a_pf_takes_what_is_within_its_limits(lab: Lab, netlink: Netlink, value: int, errno: int) -> None:
    assert answer(lab, lab.pf, value) == errno
    assert mtu(lab, lab.pf) == (USUAL if errno else value)


@pytest.mark.parametrize(("value", "errno"), [(67, EINVAL), (LARGER, 0), (LARGEST + 1, EINVAL)])
def test_so_does_a_vf_on_its_network_driver(lab: Lab, netlink: Netlink, value: int, errno: int) -> None:
    (vf,) = lab.make(lab.pf, 1, autoprobe=True)
    assert answer(lab, vf, value) == errno
    assert mtu(lab, vf) == (USUAL if errno else value)


def test_a_vf_that_is_made_anew_has_the_usual_one(lab: Lab, netlink: Netlink) -> None:
    (vf,) = lab.make(lab.pf, 1, autoprobe=True)
    assert answer(lab, vf, LARGER) == 0
    lab.raw(lab.sysfs.device(lab.pf, "sriov_numvfs"), "0")
    (vf,) = lab.make(lab.pf, 1, autoprobe=True)
    assert mtu(lab, vf) == USUAL


def test_a_netdev_that_is_not_there_has_none(lab: Lab, netlink: Netlink) -> None:
    with pytest.raises(NetlinkRefusedError):
        netlink.mtu("none0")
    with pytest.raises(NetlinkRefusedError):
        netlink.set_mtu(NO_IFINDEX, LARGER)


# --- our steps -------------------------------------------------------------------------------------------------------


def test_a_pf_and_its_vfs_get_it_in_one_plan_and_the_pf_first(lab: Lab, netlink: Netlink) -> None:
    report, desired, _ = converge(lab, on(lab, LARGER))
    set_for = [result.step.function.index for result in report.results if isinstance(result.step, SetMtu)]
    assert set_for == [None, 0, 1]
    assert (mtu(lab, lab.pf), of_vfs(lab)) == (LARGER, [LARGER, LARGER])
    assert verify(desired, read_inventory(lab.sysfs, netlink=lab.machine.netlink)) == ()
    report, _, _ = converge(lab, on(lab, LARGER))
    assert report.results == ()


def test_vfs_that_are_there_get_it_without_being_bound_anew(lab: Lab, netlink: Netlink) -> None:
    assert_converged(lab, on(lab, None))
    report, _, _ = converge(lab, on(lab, LARGER))
    assert {type(result.step) for result in report.results} == {SetMtu}
    assert (mtu(lab, lab.pf), of_vfs(lab)) == (LARGER, [LARGER, LARGER])


def test_of_vfs_on_vfio_only_the_pf_counts(lab: Lab, netlink: Netlink) -> None:
    report, desired, _ = converge(lab, on(lab, LARGER, driver="vfio-pci"))
    assert [r.step.function.index for r in report.results if isinstance(r.step, SetMtu)] == [None]
    assert mtu(lab, lab.pf) == LARGER
    assert verify(desired, read_inventory(lab.sysfs, netlink=lab.machine.netlink)) == ()


@pytest.mark.parametrize("there", [LARGER, 5000, LARGEST])
def test_a_pf_that_has_as_much_or_more_is_left_alone(lab: Lab, netlink: Netlink, there: int) -> None:
    assert answer(lab, lab.pf, there) == 0
    assert_converged(lab, on(lab, LARGER))
    assert (mtu(lab, lab.pf), of_vfs(lab)) == (there, [LARGER, LARGER])
    assert_converged(lab)
    assert mtu(lab, lab.pf) == there


def test_without_it_no_mtu_is_touched(lab: Lab, netlink: Netlink) -> None:
    assert answer(lab, lab.pf, LARGER) == 0
    assert_converged(lab, on(lab, None))
    assert answer(lab, lab.pf, 5000) == 0
    assert_converged(lab)
    assert mtu(lab, lab.pf) == 5000


def test_an_mtu_that_somebody_changed_is_put_right(lab: Lab, netlink: Netlink) -> None:
    assert_converged(lab, on(lab, LARGER))
    first = lab.sysfs.vf_addresses(lab.pf)[0]
    assert (answer(lab, lab.pf, 2000), answer(lab, first, 2000)) == (0, 0)
    report, desired, _ = converge(lab, on(lab, LARGER))
    assert [r.step.function.index for r in report.results if isinstance(r.step, SetMtu)] == [None, 0]
    assert verify(desired, read_inventory(lab.sysfs, netlink=lab.machine.netlink)) == ()


def test_it_is_given_back_with_the_pf(lab: Lab, netlink: Netlink) -> None:
    assert answer(lab, lab.pf, 2000) == 0
    assert_converged(lab, on(lab, LARGER))
    assert_converged(lab, on(lab, 3000))
    assert mtu(lab, lab.pf) == LARGER  # never lowered while a policy wants some
    assert_converged(lab)
    assert mtu(lab, lab.pf) == 2000
    assert lab.machine.journal.originals() == ()


def test_vfs_that_were_there_get_theirs_back(lab: Lab, netlink: Netlink) -> None:
    first, second = lab.make(lab.pf, 2, autoprobe=True)
    assert answer(lab, first, 2000) == 0
    assert_converged(lab, on(lab, LARGER, count=None))
    assert (mtu(lab, first), mtu(lab, second)) == (LARGER, LARGER)
    assert_converged(lab)
    assert (mtu(lab, first), mtu(lab, second), mtu(lab, lab.pf)) == (2000, USUAL, USUAL)
    assert lab.machine.journal.originals() == ()


def test_a_vf_in_use_waits_and_holds_up_nothing_else(lab: Lab, netlink: Netlink) -> None:
    assert_converged(lab, on(lab, None))
    vf = lab.sysfs.vf_addresses(lab.pf)[0]
    lab.assign(vf, "10.9.8.7")
    try:
        report, _, blocked = converge(lab, on(lab, LARGER))
        assert [(b.device, b.reason, b.only_links) for b in blocked] == [(vf, Reason.VFS_IN_USE, True)]
        assert [result.outcome for result in report.results] == [Outcome.DONE] * 2
        assert of_vfs(lab) == [USUAL, LARGER]
        ref = FunctionRef(pf=lab.pf, index=0, address=vf)
        (result,) = apply(plan_of([SetMtu(function=ref, value=LARGER, expects=USUAL)]), lab.machine).results
        assert result.reason is Reason.VFS_IN_USE
    finally:
        lab.assign(vf, "0.0.0.0")
        lab.set_up(vf, False)
    assert_converged(lab, on(lab, LARGER))


@pytest.mark.parametrize("driver", ["kernel", "vfio-pci"])
def test_one_that_the_card_does_not_take_is_refused_with_its_limits_and_vfs_are_bound(
    lab: Lab, netlink: Netlink, driver: str
) -> None:
    report, _, _ = converge(lab, on(lab, LARGEST + 1, count=1, driver=driver))
    failed = [result for result in report.results if result.outcome is not Outcome.DONE]
    assert {result.reason for result in failed} == {Reason.LINK_SETTING_REFUSED}
    name = lab.netdev(lab.pf)
    text = (
        f"ip link set {name} mtu 9217: Invalid argument (EINVAL); {name} takes 68 to 9216, ask for an MTU within that"
    )
    assert failed[0].message.endswith(text)
    vf = lab.sysfs.vf_addresses(lab.pf)[0]
    assert lab.sysfs.bound_driver(vf) == ("igbvf" if driver == "kernel" else "vfio-pci")
    assert mtu(lab, lab.pf) == USUAL
    assert answer(lab, lab.pf, LARGER) == 0  # an administrator helps; that is not virtfn's to give back
    assert_converged(lab)
    assert mtu(lab, lab.pf) == LARGER


def test_a_step_that_expects_another_mtu_is_stale(lab: Lab, netlink: Netlink) -> None:
    ref = FunctionRef(pf=lab.pf, index=None, address=lab.pf)
    (result,) = apply(plan_of([SetMtu(function=ref, value=LARGER, expects=2000)]), lab.machine).results
    assert result.reason is Reason.STALE_SNAPSHOT
    assert mtu(lab, lab.pf) == USUAL


@pytest.mark.parametrize("value", [68, 1280, 1499])
def test_the_host_process_lowers_no_pf_below_what_it_was_whatever_a_plan_says(
    lab: Lab, netlink: Netlink, value: int
) -> None:
    assert_converged(lab, on(lab, LARGER))
    ref = FunctionRef(pf=lab.pf, index=None, address=lab.pf)
    (result,) = apply(plan_of([SetMtu(function=ref, value=value, expects=LARGER)]), lab.machine).results
    assert result.reason is Reason.LINK_SETTING_REFUSED
    assert f"is never lowered to mtu {value}" in result.message
    assert mtu(lab, lab.pf) == LARGER
    assert_converged(lab)
