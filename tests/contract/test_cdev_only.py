"""A kernel whose vfio has no groups: nothing can be locked, so looking is all, and what cannot be seen is used."""

from pathlib import Path

import pytest
from hardware import IN_GUEST, Lab
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome
from virtfn_host.core.values.steps import SetNumVfs, plan_of
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.errors import FunctionInUseError
from virtfn_host.linux.use.lock import held, holders


@pytest.fixture
def fake(tmp_path: Path) -> FakeKernel | None:
    return None if IN_GUEST else FakeKernel(tmp_path / "root", groups=False, cdevs=True)


@pytest.fixture
def vf(lab: Lab) -> PciAddress:
    """One on vfio-pci."""
    (made,) = lab.make(lab.pf, 1)
    lab.to_vfio(made)
    return made


def test_there_is_a_cdev_and_nothing_to_lock(lab: Lab, vf: PciAddress) -> None:
    group, cdev = lab.sysfs.group(vf), lab.sysfs.cdev(vf)
    assert group is not None
    assert cdev is not None
    assert (lab.sysfs.dev / "vfio/devices" / cdev).exists()
    assert not lab.sysfs.has_group_node(group)
    assert not Path(lab.sysfs.group_node(group)).exists()


def test_an_idle_vf_is_free(lab: Lab, vf: PciAddress) -> None:
    assert holders(lab.sysfs, vf) == ()
    with held(lab.sysfs, [vf]):
        pass


@pytest.mark.parametrize(
    ("bound", "says"), [(False, r"process \d+ \(.+\) has /dev/vfio/devices/vfio\d+ open"), (True, "device is open")]
)
def test_an_open_cdev_is_in_use(lab: Lab, vf: PciAddress, bound: bool, says: str) -> None:
    step = SetNumVfs(pf=lab.pf, value=0, expects=1)
    with lab.cdev_open(vf, bound=bound):
        with pytest.raises(FunctionInUseError, match=says), held(lab.sysfs, [vf]):
            pytest.fail("took a VF whose cdev is open")
        (result,) = apply(plan_of([step]), lab.machine).results
        assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.VFS_IN_USE)
        assert lab.sysfs.bound_driver(vf) == "vfio-pci"
    (result,) = apply(plan_of([step]), lab.machine).results
    assert result.outcome is Outcome.DONE


def test_who_may_not_look_takes_it_for_used(lab: Lab, vf: PciAddress) -> None:
    with lab.without_privilege():
        (holder,) = holders(lab.sysfs, vf)
        with pytest.raises(FunctionInUseError, match="Permission denied"), held(lab.sysfs, [vf]):
            pytest.fail("took a VF without knowing that it is free")
    assert holder.cause is Cause.UNREADABLE
