"""The end of a policy takes away no VF that another program made, and each VF that virtfn made."""

import errno
from dataclasses import replace

import pytest
from hardware import Lab
from inventories import a_policy

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.desired import Desired, DeviceMatcher, NodeConfig, PolicyConfig, WholeRequest
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, Report
from virtfn_host.core.values.steps import SetNumVfs
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.use.lock import evidence


def once(lab: Lab, *policies: PolicyConfig) -> tuple[Report, Desired]:
    """Observe, resolve, plan, apply."""
    inventory = read_inventory(lab.sysfs, netlink=lab.machine.netlink)
    desired = resolve(NodeConfig(policies=policies), inventory, lab.machine.journal.originals()).desired
    return apply(plan(inventory, desired, evidence(lab.sysfs, inventory)), lab.machine), desired


def refusal(lab: Lab, *policies: PolicyConfig) -> Reason | None:
    """The reason of the first step that fails."""
    return next(one.reason for one in once(lab, *policies)[0].results if one.outcome is not Outcome.DONE)


def turn(lab: Lab, *policies: PolicyConfig) -> list[int]:
    """Carry out one plan and verify; return the numbers of VFs that were written."""
    report, desired = once(lab, *policies)
    assert [result.message for result in report.results if result.outcome is not Outcome.DONE] == []
    assert verify(desired, read_inventory(lab.sysfs, netlink=lab.machine.netlink)) == ()
    return [result.step.value for result in report.results if isinstance(result.step, SetNumVfs)]


def on(lab: Lab, count: int | None, **fields: object) -> PolicyConfig:
    return replace(a_policy(count=count), devices=(DeviceMatcher(address=lab.pf),), **fields)  # type: ignore[arg-type]


def drivers(lab: Lab) -> list[tuple[str | None, str | None]]:
    pf = read_inventory(lab.sysfs).pf(lab.pf)
    assert pf is not None
    return [(vf.driver, vf.driver_override) for vf in pf.vfs]


def remade(lab: Lab, number: int, *, autoprobe: bool) -> None:
    """What an administrator does to have another number of VFs."""
    lab.machine.modules.load("igbvf", 30)
    lab.raw(lab.sysfs.device(lab.pf, "sriov_numvfs"), "0")
    lab.make(lab.pf, number, autoprobe=autoprobe)


OURS = ("vfio-pci", "vfio-pci")


@pytest.mark.parametrize(("autoprobe", "own"), [(True, "igbvf"), (False, None)])
@pytest.mark.parametrize(("first", "later"), [(2, 4), (4, 2), (3, 0), (0, 3), (2, 2)])
def test_the_number_that_an_administrator_chose_since_stays(
    lab: Lab, first: int, later: int, autoprobe: bool, own: str | None
) -> None:
    remade(lab, first, autoprobe=autoprobe)
    if first:
        assert turn(lab, on(lab, None)) == []
        assert drivers(lab) == [OURS] * first
    else:
        lab.machine.journal.remember(read_inventory(lab.sysfs).pfs[0])  # as when only an MTU is set
    remade(lab, later, autoprobe=autoprobe)
    assert turn(lab, on(lab, None)) == []
    assert drivers(lab) == [OURS] * later
    assert turn(lab) == []
    assert drivers(lab) == [(own, None)] * later
    assert lab.machine.journal.originals() == ()


@pytest.mark.parametrize("first", [0, 2])
def test_a_number_that_a_policy_set_is_given_back(lab: Lab, first: int) -> None:
    remade(lab, first, autoprobe=True)
    assert turn(lab, on(lab, 3)) == ([0, 3] if first else [3])
    assert turn(lab, on(lab, None)) == []
    assert turn(lab) == ([0, first] if first else [0])
    assert drivers(lab) == [("igbvf", None)] * first
    assert lab.machine.journal.originals() == ()


def test_a_count_that_was_there_already_is_no_number_of_ours(lab: Lab) -> None:
    remade(lab, 2, autoprobe=True)
    assert turn(lab, on(lab, 2)) == []
    remade(lab, 4, autoprobe=True)
    assert turn(lab) == []
    assert len(drivers(lab)) == 4


def test_a_pf_with_vfs_of_an_administrator_is_not_emptied_to_be_handed_out(lab: Lab) -> None:
    lab.machine.journal.remember(read_inventory(lab.sysfs).pfs[0])
    remade(lab, 3, autoprobe=True)
    request = WholeRequest(resource_name="virtfn.dev/whole", driver="vfio-pci")
    assert turn(lab, on(lab, None, pools=(), whole=request)) == []
    assert len(drivers(lab)) == 3


def test_a_later_vf_that_its_driver_does_not_take_is_tried_again_until_it_does(lab: Lab) -> None:
    if lab.fake is None:
        pytest.skip("a real kernel has the driver")
    remade(lab, 1, autoprobe=True)
    turn(lab, on(lab, None))
    remade(lab, 2, autoprobe=True)
    turn(lab, on(lab, None))
    lab.fake.instead.ends_on[lab.sysfs.vf_addresses(lab.pf)[1]] = None
    for _ in range(2):
        assert refusal(lab) is Reason.BIND_FAILED
        assert drivers(lab)[1] == (None, None)
        assert lab.machine.journal.originals() != ()
    lab.fake.instead.ends_on.clear()
    assert turn(lab) == []
    assert drivers(lab) == [("igbvf", None)] * 2
    assert lab.machine.journal.originals() == ()


@pytest.mark.parametrize("first", [0, 2])
def test_it_is_noted_before_the_first_write_and_not_if_that_is_refused_and_no_vf_was_unbound(
    lab: Lab, first: int
) -> None:
    if lab.fake is None:
        pytest.skip("a real kernel refuses no number that virtfn writes")
    fake, seen = lab.fake, list[list[bool]]()
    remade(lab, first, autoprobe=True)

    def untouched() -> list[bool]:
        return [entry.number_untouched for entry in lab.machine.journal.originals()]

    fake.before_write = lambda: seen.append(untouched())
    fake.fail["sriov_numvfs"] = errno.ENOSPC
    assert refusal(lab, on(lab, 3)) is Reason.WRITE_REFUSED
    assert (seen[-1], untouched()) == ([False], [first == 0])
    turn(lab, on(lab, 3))
    assert untouched() == [False]
