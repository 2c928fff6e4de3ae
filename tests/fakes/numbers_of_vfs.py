"""Turns on a PF whose number of VFs policies and an administrator change."""

from dataclasses import replace

from hardware import Lab
from inventories import a_policy

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.desired import Desired, DeviceMatcher, NodeConfig, PolicyConfig
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
