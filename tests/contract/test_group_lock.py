"""To open a group is exclusive, so the lock keeps everybody out; where vfio has no groups, nothing does."""

import errno
import os

import pytest
from hardware import Lab

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import VfLink
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome
from virtfn_host.core.values.steps import FunctionRef, SetLink, describe, plan_of
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.use.lock import held


def test_while_the_lock_is_held_nobody_can_begin_to_use_the_vf(lab: Lab) -> None:
    (vf,) = lab.make(lab.pf, 1)
    lab.to_vfio(vf)
    with held(lab.sysfs, [vf]), pytest.raises(OSError, match="busy"), lab.used(vf):
        pytest.fail("opened a VF that is locked")
    with lab.used(vf):
        pass


def test_the_lock_on_one_keeps_programs_from_the_other(lab: Lab, pair: tuple[PciAddress, PciAddress]) -> None:
    """The one without a driver is locked through the other, which is all that a program could open."""
    on_vfio, driverless = pair
    with held(lab.sysfs, [driverless]), pytest.raises(OSError) as refused, lab.used(on_vfio):  # noqa: PT011
        pytest.fail("used a function whose group is locked")
    assert refused.value.errno == errno.EBUSY
    with lab.used(on_vfio):
        pass


def test_a_link_setting_waits_for_whoever_has_only_the_group_of_its_vf_open(lab: Lab) -> None:
    """A program that starts: its device is not open yet, and nothing but the lock tells of it."""
    (vf,) = lab.make(lab.pf, 1)
    lab.to_vfio(vf)
    ref = FunctionRef(pf=lab.pf, index=0, address=vf)
    step = SetLink(function=ref, value=VfLink(vlan=5, vlan_qos=0), expects=VfLink(vlan=0, vlan_qos=0))
    plan = plan_of([step])
    group = lab.sysfs.open_group(lab.sysfs.group_node(lab.sysfs.group(vf) or 0))
    try:
        (result,) = apply(plan, lab.machine).results
    finally:
        os.close(group)
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.VFS_IN_USE)
    (result,) = apply(plan, lab.machine).results
    assert (result.outcome, result.message) == (Outcome.DONE, describe(step))
