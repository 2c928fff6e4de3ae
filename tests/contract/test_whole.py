"""A function handed out itself, and given back: the second PF of the machine, without VFs."""

from hardware import Lab
from inventories import a_policy

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, WholeRequest
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, Report
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.use.lock import evidence


def turn(lab: Lab, *policies: PolicyConfig) -> Report:
    inventory = read_inventory(lab.sysfs)
    desired = resolve(NodeConfig(policies=policies), inventory, lab.machine.journal.originals()).desired
    report = apply(plan(inventory, desired, evidence(lab.sysfs, inventory)), lab.machine)
    assert [result.message for result in report.results if result.outcome is not Outcome.DONE] == []
    assert verify(desired, read_inventory(lab.sysfs)) == ()
    return report


def whole(lab: Lab) -> PolicyConfig:
    request = WholeRequest(resource_name="virtfn.dev/card", driver="vfio-pci")
    matcher = DeviceMatcher(address=lab.pfs[1], driver="igb")
    return a_policy("card", count=None, pools=(), devices=(matcher,), whole=request)


def test_a_pf_goes_to_vfio_itself_and_comes_back_as_it_was(lab: Lab) -> None:
    before = read_inventory(lab.sysfs).pf(lab.pfs[1])
    assert before is not None
    turn(lab, whole(lab))
    now = read_inventory(lab.sysfs).pf(lab.pfs[1])
    assert now is not None
    assert (now.driver, now.driver_override, now.vfio_bound, now.netdevs) == ("vfio-pci", "vfio-pci", True, ())
    assert turn(lab, whole(lab)).results == ()
    turn(lab)
    after = read_inventory(lab.sysfs).pf(lab.pfs[1])
    assert after is not None
    assert (after.driver, after.driver_override, after.num_vfs) == (before.driver, before.driver_override, 0)
    assert lab.machine.journal.originals() == ()


def test_a_whole_function_that_is_open_is_left_alone(lab: Lab) -> None:
    turn(lab, whole(lab))
    with lab.used(lab.pfs[1]):
        inventory = read_inventory(lab.sysfs)
        desired = resolve(NodeConfig(policies=()), inventory, lab.machine.journal.originals()).desired
        made = plan(inventory, desired, evidence(lab.sysfs, inventory))
        assert [(b.device, b.reason) for b in made.blocked] == [(lab.pfs[1], Reason.VFS_IN_USE)]
        assert made.steps == ()
    turn(lab)
