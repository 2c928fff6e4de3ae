"""What was verified before a reboot is made again: then the agent has nothing to do, and nothing else was touched."""

import pytest
from hardware import Lab
from inventories import a_policy

from virtfn_host.core.turn.kept import Boot, at_boot, verified
from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.desired import Desired, DeviceMatcher, NodeConfig, PoolRequest
from virtfn_host.core.values.kept import KeptConfig
from virtfn_host.core.values.model import Inventory
from virtfn_host.core.values.report import Outcome
from virtfn_host.core.values.steps import Plan
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.use.lock import evidence

POOL = PoolRequest(resource_name="virtfn.dev/fast", indexes=None, driver="vfio-pci")


def look(lab: Lab) -> Inventory:
    return read_inventory(lab.sysfs)


def wanted(lab: Lab, config: NodeConfig) -> tuple[Desired, Plan]:
    """What an agent would want and do now."""
    inventory = look(lab)
    desired = resolve(config, inventory, lab.machine.journal.originals()).desired
    return desired, plan(inventory, desired, evidence(lab.sysfs, inventory))


def converged(lab: Lab, count: int) -> KeptConfig:
    """Make VFs of the first two PFs as an agent does, and return what it would have kept."""
    devices = tuple(DeviceMatcher(address=pf) for pf in lab.pfs[:2])
    config = NodeConfig(policies=(a_policy(count=count, devices=devices, pools=(POOL,)),))
    desired, steps = wanted(lab, config)
    apply(steps, lab.machine)
    inventory = look(lab)
    kept = verified(config, desired, verify(desired, inventory), inventory)
    assert [card.address for card in kept.cards] == sorted(lab.pfs[:2])
    return kept


def rebooted(lab: Lab) -> None:
    """The PFs as a boot leaves them: without VFs, autoprobe on."""
    for pf in lab.pfs[:2]:
        lab.raw(lab.sysfs.device(pf, "sriov_numvfs"), "0")
        lab.raw(lab.sysfs.device(pf, "sriov_drivers_autoprobe"), "1")


def boot(lab: Lab, kept: KeptConfig) -> Boot:
    inventory = look(lab)
    found = at_boot(kept, inventory, lab.machine.journal.originals(), evidence(lab.sysfs, inventory))
    report = apply(found.plan, lab.machine)
    assert [result.message for result in report.results if result.outcome is not Outcome.DONE] == []
    assert verify(found.desired, look(lab)) == ()
    return found


@pytest.mark.parametrize("count", [1, 3])
def test_after_a_boot_the_agent_has_nothing_to_do(lab: Lab, count: int) -> None:
    kept = converged(lab, count)
    rebooted(lab)
    assert boot(lab, kept).left == ()
    assert wanted(lab, kept.config)[1].steps == ()
    assert boot(lab, kept).plan.steps == ()


def test_vfs_that_another_program_made_first_stay(lab: Lab) -> None:
    kept = converged(lab, 2)
    rebooted(lab)
    lab.make(lab.pfs[0], 3, autoprobe=False)
    before = lab.sysfs.vf_addresses(lab.pfs[0])
    found = boot_with_some_left(lab, kept)
    assert [why.device for why in found.left] == [str(lab.pfs[0])]
    assert lab.sysfs.vf_addresses(lab.pfs[0]) == before
    assert len(lab.sysfs.vf_addresses(lab.pfs[1])) == 2


def boot_with_some_left(lab: Lab, kept: KeptConfig) -> Boot:
    inventory = look(lab)
    found = at_boot(kept, inventory, lab.machine.journal.originals(), evidence(lab.sysfs, inventory))
    apply(found.plan, lab.machine)
    return found


def test_what_a_boot_made_is_given_back_like_everything(lab: Lab) -> None:
    kept = converged(lab, 2)
    rebooted(lab)
    boot(lab, kept)
    apply(wanted(lab, NodeConfig(policies=()))[1], lab.machine)
    assert lab.machine.journal.originals() == ()
    assert not lab.sysfs.vf_addresses(lab.pfs[0])
