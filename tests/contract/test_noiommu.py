"""A machine without an IOMMU whose vfio was told to do without: the lock is the same, under another name."""

from pathlib import Path

import pytest
from hardware import IN_GUEST, Lab
from kernel import FakeKernel

from virtfn_host.core.checks.usable import no_iommu_at_all
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import holder_text
from virtfn_host.core.values.parts import Part
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome
from virtfn_host.core.values.steps import SetNumVfs, plan_of
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.errors import FunctionInUseError
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.use.lock import held, holders

TOLD = Path("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode")


@pytest.fixture
def fake(tmp_path: Path) -> FakeKernel | None:
    return None if IN_GUEST else FakeKernel(tmp_path / "root", iommu=False, noiommu=True)


@pytest.fixture
def vf(lab: Lab) -> PciAddress:
    """One on vfio-pci."""
    if lab.fake is None:
        lab.machine.modules.load("vfio", 30)
        TOLD.write_text("1")
    (made,) = lab.make(lab.pf, 1)
    assert lab.sysfs.group(made) is None
    lab.to_vfio(made)
    return made


def test_the_bind_makes_a_group_with_a_name_of_its_own(lab: Lab, vf: PciAddress) -> None:
    group = lab.sysfs.group(vf)
    assert group is not None
    node = Path(lab.sysfs.group_node(group))
    assert node == lab.sysfs.dev / f"vfio/noiommu-{group}"
    assert node.exists()
    assert lab.sysfs.has_group_node(group)
    assert lab.sysfs.cdev(vf) is None
    lab.off_vfio(vf)
    assert lab.sysfs.group(vf) is None
    assert not node.exists()


def test_a_look_tells_that_its_group_protects_nothing(lab: Lab, vf: PciAddress) -> None:
    inventory = read_inventory(lab.sysfs)
    function = inventory.find(vf)
    assert function is not None
    assert inventory.noiommu is True
    assert inventory.noiommu_groups == (lab.sysfs.group(vf),)
    assert inventory.unprotected(function)
    assert set(function.lacks) <= {Part.CDEV}  # which the kernel makes only behind an IOMMU
    assert no_iommu_at_all(inventory) is not None


def test_a_group_stays_as_it_is_when_vfio_is_told_otherwise(lab: Lab, vf: PciAddress) -> None:
    told = lab.sysfs.sys / "module/vfio/parameters/enable_unsafe_noiommu_mode"
    told.write_text("N\n")
    try:
        inventory = read_inventory(lab.sysfs)
        assert inventory.noiommu is False
        assert inventory.noiommu_groups == (lab.sysfs.group(vf),)
    finally:
        told.write_text("Y\n")


def test_an_idle_vf_can_be_locked(lab: Lab, vf: PciAddress) -> None:
    assert holders(lab.sysfs, vf) == ()
    with held(lab.sysfs, [vf]):
        pass


def test_a_vf_in_use_is_left_alone(lab: Lab, vf: PciAddress) -> None:
    step = SetNumVfs(pf=lab.pf, value=0, expects=1)
    with lab.used(vf):
        assert [holder_text(holder) for holder in holders(lab.sysfs, vf)] == ["its vfio device is open"]
        with pytest.raises(FunctionInUseError, match=r"another process has .*noiommu-"), held(lab.sysfs, [vf]):
            pytest.fail("locked a VF that is open")
        (result,) = apply(plan_of([step]), lab.machine).results
        assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.VFS_IN_USE)
    (result,) = apply(plan_of([step]), lab.machine).results
    assert result.outcome is Outcome.DONE
