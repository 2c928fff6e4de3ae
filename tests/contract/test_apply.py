"""Plans carried out: converged afterwards, given back exactly, and every surprise a reason of its own."""

from hardware import Lab
from inventories import a_policy

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.desired import Desired, DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.model import InUse
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, Report
from virtfn_host.core.values.steps import Bind, FunctionRef, SetAutoprobe, SetNumVfs, plan_of
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.use.lock import evidence

FREE = InUse(holders=())


def converge(lab: Lab, *policies: PolicyConfig) -> tuple[Report, Desired]:
    """Observe, resolve, plan, apply: once."""
    inventory = read_inventory(lab.sysfs, netlink=lab.machine.netlink)
    desired = resolve(NodeConfig(policies=policies), inventory, lab.machine.journal.originals()).desired
    in_use = evidence(lab.sysfs, inventory)
    return apply(plan(inventory, desired, in_use), lab.machine), desired


def assert_converged(lab: Lab, report: Report, desired: Desired) -> None:
    assert [result.message for result in report.results if result.outcome is not Outcome.DONE] == []
    assert verify(desired, read_inventory(lab.sysfs, netlink=lab.machine.netlink)) == ()


def on(lab: Lab, number: int = 0, count: int | None = 3, driver: str = "vfio-pci") -> PolicyConfig:
    pool = PoolRequest(resource_name="virtfn.dev/fast", indexes=None, driver=driver)
    pools = (pool,) if count != 0 else ()
    return a_policy(count=count, devices=(DeviceMatcher(address=lab.pfs[number]),), pools=pools)


def test_vfs_are_made_bound_and_given_back_as_it_was(lab: Lab) -> None:
    before = read_inventory(lab.sysfs).functions
    assert_converged(lab, *converge(lab, on(lab)))
    pf = read_inventory(lab.sysfs).pf(lab.pf)
    assert pf is not None
    assert [(vf.driver, vf.driver_override) for vf in pf.vfs] == [("vfio-pci", "vfio-pci")] * 3
    assert pf.autoprobe is False
    assert_converged(lab, *converge(lab))
    assert read_inventory(lab.sysfs).functions == before
    assert lab.machine.journal.originals() == ()


def test_a_converged_machine_is_left_alone(lab: Lab) -> None:
    converge(lab, on(lab))
    report, _ = converge(lab, on(lab))
    assert report.results == ()


def test_a_resize_goes_through_zero(lab: Lab) -> None:
    converge(lab, on(lab, count=5))
    assert_converged(lab, *converge(lab, on(lab, count=2)))
    assert len(lab.sysfs.vf_addresses(lab.pf)) == 2


def test_the_kernel_picks_its_own_driver_and_autoprobe_stays_off(lab: Lab) -> None:
    lab.machine.modules.load("igbvf", 30)
    report, desired = converge(lab, on(lab, count=2, driver="kernel"))
    assert_converged(lab, report, desired)
    pf = read_inventory(lab.sysfs).pf(lab.pf)
    assert pf is not None
    assert [vf.driver for vf in pf.vfs] == ["igbvf", "igbvf"]
    assert pf.autoprobe is False


def test_vfs_of_somebody_else_go_back_to_the_driver_they_had(lab: Lab) -> None:
    lab.machine.modules.load("igbvf", 30)
    lab.make(lab.pf, 2, autoprobe=True)
    before = read_inventory(lab.sysfs).pfs
    assert_converged(lab, *converge(lab, on(lab, count=None)))
    pf = read_inventory(lab.sysfs).pf(lab.pf)
    assert pf is not None
    assert [vf.driver for vf in pf.vfs] == ["vfio-pci"] * 2
    assert_converged(lab, *converge(lab))
    after = read_inventory(lab.sysfs).pfs
    assert [(vf.driver, vf.driver_override) for pf in after for vf in pf.vfs] == [
        (vf.driver, vf.driver_override) for pf in before for vf in pf.vfs
    ]


def test_a_driver_that_somebody_changed_is_put_right(lab: Lab) -> None:
    converge(lab, on(lab))
    vf = lab.sysfs.vf_addresses(lab.pf)[1]
    lab.raw(lab.sysfs.device(vf, "driver/unbind"), str(vf))
    report, desired = converge(lab, on(lab))
    assert len(report.results) == 1
    assert_converged(lab, report, desired)


def test_the_original_is_written_before_the_first_touch(lab: Lab) -> None:
    seen = []
    steps = (SetAutoprobe(pf=lab.pf, value=False, expects=True),)
    apply(plan_of(steps), lab.machine, lambda _: seen.append(lab.machine.journal.originals()))
    assert [original.autoprobe for original in seen[0]] == [True]


def test_a_step_that_expects_another_machine_is_stale_and_changes_nothing(lab: Lab) -> None:
    lab.make(lab.pf, 2)
    steps = (SetNumVfs(pf=lab.pf, value=0, expects=7), SetNumVfs(pf=lab.pf, value=3, expects=0))
    report = apply(plan_of(steps), lab.machine)
    assert [(r.outcome, r.reason) for r in report.results] == [
        (Outcome.FAILED, Reason.STALE_SNAPSHOT),
        (Outcome.NOT_TRIED, Reason.STALE_SNAPSHOT),
    ]
    assert len(lab.sysfs.vf_addresses(lab.pf)) == 2


def test_a_bind_that_the_driver_refuses_is_bind_failed(lab: Lab) -> None:
    (vf,) = lab.make(lab.pf, 1)
    lab.machine.modules.load("vfio-pci", 30)
    step = Bind(function=FunctionRef(pf=lab.pf, index=0, address=vf), driver="vfio-pci")
    (result,) = apply(plan_of([step]), lab.machine).results
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.BIND_FAILED)
    assert "ENODEV" in result.message


def test_a_journal_that_cannot_be_read_is_kept_and_nothing_is_touched(lab: Lab) -> None:
    lab.machine.journal.path.write_text("half a jour")
    report, _ = converge_anyway(lab)
    assert {result.reason for result in report.results} == {Reason.JOURNAL_UNREADABLE}
    assert lab.sysfs.vf_addresses(lab.pf) == {}
    assert lab.machine.journal.path.read_text() == "half a jour"


def converge_anyway(lab: Lab) -> tuple[Report, Desired]:
    inventory = read_inventory(lab.sysfs, netlink=lab.machine.netlink)
    desired = resolve(NodeConfig(policies=(on(lab),)), inventory, ()).desired
    return apply(plan(inventory, desired, FREE), lab.machine), desired
