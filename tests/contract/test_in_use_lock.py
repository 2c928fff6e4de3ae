"""A VF in use is never touched, and whoever asks is told so at once."""

import pytest
from hardware import Lab

from virtfn_host.core.values.holders import holder_text
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome
from virtfn_host.core.values.steps import FunctionRef, Plan, SetNumVfs, Step, Unbind, plan_of
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.errors import FunctionInUseError
from virtfn_host.linux.use.lock import held, holders


def a_plan(*steps: Step) -> Plan:
    return plan_of(steps)


def test_an_idle_vf_on_vfio_has_no_holder_and_can_be_locked(lab: Lab) -> None:
    (vf,) = lab.make(lab.pf, 1)
    lab.to_vfio(vf)
    assert holders(lab.sysfs, vf) == ()
    with held(lab.sysfs, [vf]):
        assert lab.sysfs.read(lab.sysfs.device(vf, "enable")) == "0"


def test_an_open_vf_has_a_holder_and_cannot_be_locked(lab: Lab) -> None:
    (vf,) = lab.make(lab.pf, 1)
    lab.to_vfio(vf)
    with lab.used(vf):
        assert [holder_text(holder) for holder in holders(lab.sysfs, vf)] == ["its vfio device is open"]
        with pytest.raises(FunctionInUseError, match="is in use"), held(lab.sysfs, [vf]):
            pytest.fail("locked a VF that is open")
    assert holders(lab.sysfs, vf) == ()


def test_the_lock_is_all_or_nothing(lab: Lab) -> None:
    free, busy = lab.make(lab.pf, 2)
    for vf in (free, busy):
        lab.to_vfio(vf)
    with lab.used(busy), pytest.raises(FunctionInUseError), held(lab.sysfs, [free, busy]):
        pytest.fail("locked one of two")
    with held(lab.sysfs, [free, busy]):
        pass


def test_a_resize_of_a_held_vf_is_refused_with_nothing_changed(lab: Lab) -> None:
    vfs = lab.make(lab.pf, 3)
    for vf in vfs:
        lab.to_vfio(vf)
    with lab.used(vfs[2]):
        (result,) = apply(a_plan(SetNumVfs(pf=lab.pf, value=0, expects=3)), lab.machine).results
        assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.VFS_IN_USE)
        assert str(vfs[2]) in result.message or "IOMMU group" in result.message
        assert [lab.sysfs.bound_driver(vf) for vf in vfs] == ["vfio-pci"] * 3
    (result,) = apply(a_plan(SetNumVfs(pf=lab.pf, value=0, expects=3)), lab.machine).results
    assert result.outcome is Outcome.DONE
    assert lab.sysfs.vf_addresses(lab.pf) == {}


def test_an_unbind_of_a_held_vf_is_refused_whatever_the_plan_says(lab: Lab) -> None:
    (vf,) = lab.make(lab.pf, 1)
    lab.to_vfio(vf)
    step = Unbind(function=FunctionRef(pf=lab.pf, index=0, address=vf), expects="vfio-pci")
    with lab.used(vf):
        (result,) = apply(a_plan(step), lab.machine).results
        assert result.reason == Reason.VFS_IN_USE
        assert lab.sysfs.bound_driver(vf) == "vfio-pci"


def test_an_unbind_of_a_pf_whose_vf_is_held_is_refused_because_its_driver_takes_them_away(lab: Lab) -> None:
    (vf,) = lab.make(lab.pf, 1)
    lab.to_vfio(vf)
    driver = lab.sysfs.bound_driver(lab.pf)
    assert driver is not None
    step = Unbind(function=FunctionRef(pf=lab.pf, index=None, address=lab.pf), expects=driver)
    with lab.used(vf):
        (result,) = apply(a_plan(step), lab.machine).results
        assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.VFS_IN_USE)
        assert (lab.sysfs.bound_driver(lab.pf), lab.sysfs.bound_driver(vf)) == (driver, "vfio-pci")


def test_a_held_vf_of_one_pf_does_not_hold_up_another_pf(lab: Lab) -> None:
    (busy,) = lab.make(lab.pfs[0], 1)
    lab.to_vfio(busy)
    lab.make(lab.pfs[1], 1)
    steps = [SetNumVfs(pf=pf, value=0, expects=1) for pf in lab.pfs[:2]]
    with lab.used(busy):
        report = apply(a_plan(*steps), lab.machine)
    assert [result.outcome for result in report.results] == [Outcome.FAILED, Outcome.DONE]
