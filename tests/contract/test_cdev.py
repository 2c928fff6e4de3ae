"""A kernel with vfio's cdevs: one that is open and not bound is seen by nothing but /proc, and blocks all the same."""

import errno
import os
import time
from pathlib import Path

import pytest
from hardware import IN_GUEST, Lab
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, holder_text
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, Report
from virtfn_host.core.values.steps import SetNumVfs, plan_of
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.errors import FunctionInUseError, StuckError
from virtfn_host.linux.use.lock import held, holders


@pytest.fixture
def fake(tmp_path: Path) -> FakeKernel | None:
    return None if IN_GUEST else FakeKernel(tmp_path / "root", cdevs=True)


@pytest.fixture
def vf(lab: Lab) -> PciAddress:
    """One on vfio-pci."""
    (made,) = lab.make(lab.pf, 1)
    lab.to_vfio(made)
    return made


def none_wanted(lab: Lab) -> Report:
    return apply(plan_of([SetNumVfs(pf=lab.pf, value=0, expects=1)]), lab.machine)


def open_group(lab: Lab, vf: PciAddress) -> int:
    """Errno, 0 when it opened."""
    try:
        os.close(lab.sysfs.open_group(lab.sysfs.group_node(lab.sysfs.group(vf) or 0)))
    except OSError as error:
        return error.errno or -1
    return 0


def test_a_bound_vf_has_a_cdev_and_its_group_a_node(lab: Lab, vf: PciAddress) -> None:
    group, cdev = lab.sysfs.group(vf), lab.sysfs.cdev(vf)
    assert group is not None
    assert cdev is not None
    assert (lab.sysfs.dev / "vfio/devices" / cdev).exists()
    assert lab.sysfs.has_group_node(group)
    assert Path(lab.sysfs.group_node(group)).exists()
    lab.off_vfio(vf)
    assert lab.sysfs.cdev(vf) is None
    assert not lab.sysfs.has_group_node(group)
    assert not (lab.sysfs.dev / "vfio/devices" / cdev).exists()


def test_a_cdev_that_is_open_shows_only_among_open_files(lab: Lab, vf: PciAddress) -> None:
    with lab.cdev_open(vf):
        assert lab.sysfs.read(lab.sysfs.device(vf, "enable")) == "0"
        assert open_group(lab, vf) == 0
        (holder,) = holders(lab.sysfs, vf)
        assert holder_text(holder).startswith("process ")
        assert holder_text(holder).endswith(f" has /dev/vfio/devices/{lab.sysfs.cdev(vf)} open")
        with pytest.raises(FunctionInUseError, match="is in use"), held(lab.sysfs, [vf]):
            pytest.fail("locked a VF whose cdev is open")
    assert holders(lab.sysfs, vf) == ()


def test_a_cdev_in_use_has_its_group_too(lab: Lab, vf: PciAddress) -> None:
    with lab.cdev_open(vf, bound=True):
        assert lab.sysfs.read(lab.sysfs.device(vf, "enable")) == "1"
        assert open_group(lab, vf) == errno.EBUSY
        assert [holder_text(holder) for holder in holders(lab.sysfs, vf)] == ["its vfio device is open"]


def test_who_has_the_lock_keeps_programs_from_using_the_cdev(lab: Lab, vf: PciAddress) -> None:
    with held(lab.sysfs, [vf]), pytest.raises(OSError) as refused, lab.cdev_open(vf, bound=True):  # noqa: PT011
        pytest.fail("bound a cdev under the lock")
    assert refused.value.errno == errno.EBUSY


def test_an_unbind_under_an_open_cdev_blocks_until_it_is_closed(lab: Lab, vf: PciAddress) -> None:
    """What the look at open files saves a node from."""
    with lab.cdev_open(vf), pytest.raises(StuckError):
        lab.machine.writer.write(lab.sysfs.device(vf, "driver/unbind"), str(vf), 3)
    until = time.monotonic() + 30
    while lab.machine.writer.stuck() is not None and time.monotonic() < until:
        time.sleep(0.05)
    assert lab.machine.writer.stuck() is None
    assert lab.sysfs.bound_driver(vf) is None


@pytest.mark.parametrize("bound", [False, True])
def test_a_resize_is_refused_with_nothing_changed(lab: Lab, vf: PciAddress, bound: bool) -> None:
    with lab.cdev_open(vf, bound=bound):
        (result,) = none_wanted(lab).results
        assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.VFS_IN_USE)
        assert lab.sysfs.bound_driver(vf) == "vfio-pci"
    (result,) = none_wanted(lab).results
    assert result.outcome is Outcome.DONE


def test_who_may_not_look_takes_it_for_used(lab: Lab, vf: PciAddress) -> None:
    with lab.without_privilege():
        (holder,) = holders(lab.sysfs, vf)
    assert holder.cause is Cause.UNREADABLE
    assert "could not be read: Permission denied" in holder_text(holder)
