"""What a plan makes of an inventory by `carried_out` is what it makes of the machine: the same plan on both.

Laws of the pure core are tried on values, by tens of thousands of plans; here the values are held to the kernel.
"""

from collections.abc import Sequence
from dataclasses import replace

from hardware import Lab
from inventories import a_policy, carried_out

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, WholeRequest
from virtfn_host.core.values.model import Function, GroupMember, Inventory, Pf
from virtfn_host.core.values.report import Outcome
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.act.journal import has_links
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.use.lock import evidence


def on(lab: Lab, policy: PolicyConfig, driver: str = "vfio-pci") -> PolicyConfig:
    """The same for the first PF alone, on another driver."""
    pools = tuple(replace(pool, driver=driver) for pool in policy.pools)
    return replace(policy, devices=(DeviceMatcher(address=lab.pf),), pools=pools)


def look(lab: Lab) -> Inventory:
    """Look as the host process does: at link settings too when there are some to give back."""
    links = has_links(lab.machine.journal.originals())
    return read_inventory(lab.sysfs, netlink=lab.machine.netlink if links else None)


def same_on_both(lab: Lab, *policies: PolicyConfig) -> None:
    """Carry out one turn that has something to do."""
    before = look(lab)
    desired = resolve(NodeConfig(policies=policies), before, lab.machine.journal.originals()).desired
    made = plan(before, desired, evidence(lab.sysfs, before))
    assert made.blocked == ()
    assert made.steps != ()
    report = apply(made, lab.machine)
    assert [result.message for result in report.results if result.outcome is not Outcome.DONE] == []
    after, on_values = look(lab), carried_out(made, before)
    assert after.unreadable == ()
    assert functions(on_values) == functions(after)
    assert groups(on_values) == groups(after)
    assert set(on_values.drivers) <= set(after.drivers)  # a probe may load the module of a function's own


def functions(inventory: Inventory) -> Sequence[Function]:
    """Return them without what the values do not know: netdevs, their MACs and MTUs, group numbers, the limit of VFs.

    The limit (`sriov_totalvfs`) is the driver's: igb lowers the 82576's from 8 to 7, and the kernel shows 8 again as
    soon as igb lets go of the PF. Link settings have tests of their own (test_links.py).
    """
    found = []
    for function in inventory.functions:
        shown = replace(function, netdevs=(), mtu=None, iommu_group=None, identity=replace(function.identity, mac=None))
        if isinstance(shown, Pf):
            vfs = tuple(replace(vf, netdevs=(), mtu=None, iommu_group=None, link=None) for vf in shown.vfs)
            shown = replace(shown, vfs=vfs, total_vfs=0, netdev_up=None, mac=None)
        found.append(shown)
    return found


def groups(inventory: Inventory) -> Sequence[tuple[GroupMember, ...]]:
    """Who shares one, on which drivers."""
    return sorted((group.members for group in inventory.groups), key=lambda members: members[0].address)


def test_vfs_that_are_made_resized_and_given_back(lab: Lab) -> None:
    same_on_both(lab, on(lab, a_policy(count=3)))
    same_on_both(lab, on(lab, a_policy(count=2)))
    same_on_both(lab)


def test_vfs_that_go_from_their_own_driver_to_vfio_and_back(lab: Lab) -> None:
    same_on_both(lab, on(lab, a_policy(count=2), driver="kernel"))
    same_on_both(lab, on(lab, a_policy(count=2)))
    same_on_both(lab, on(lab, a_policy(count=2), driver="kernel"))


def test_vfs_of_somebody_else_that_are_bound_and_given_back(lab: Lab) -> None:
    lab.machine.modules.load("igbvf", 30)
    lab.make(lab.pf, 2, autoprobe=True)
    same_on_both(lab, on(lab, a_policy(count=None)))
    same_on_both(lab)


def test_a_function_itself_that_is_handed_out_and_given_back(lab: Lab) -> None:
    request = WholeRequest(resource_name="virtfn.dev/card", driver="vfio-pci")
    matcher = DeviceMatcher(address=lab.pfs[1])
    same_on_both(lab, a_policy("card", count=None, pools=(), devices=(matcher,), whole=request))
    same_on_both(lab)
