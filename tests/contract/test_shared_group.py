"""The IOMMU group is what vfio hands out: a user of one member has all of them."""

import pytest
from hardware import Lab

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import holder_text
from virtfn_host.linux.errors import FunctionInUseError
from virtfn_host.linux.use.lock import held, holders


def test_they_share_a_group_and_its_node(lab: Lab, pair: tuple[PciAddress, PciAddress]) -> None:
    group = lab.sysfs.group(pair[0])
    assert group is not None
    assert lab.sysfs.group(pair[1]) == group
    assert set(pair) <= set(lab.sysfs.group_members(group))
    lab.to_vfio(pair[1])
    lab.off_vfio(pair[0])
    assert lab.sysfs.vfio_bound(pair[1])
    with held(lab.sysfs, [pair[1]]):
        pass


@pytest.mark.parametrize("bound", [True, False])
def test_a_user_of_one_has_the_other(lab: Lab, pair: tuple[PciAddress, PciAddress], bound: bool) -> None:
    used, idle = pair
    if bound:
        lab.to_vfio(idle)
    with lab.used(used):
        (holder,) = holders(lab.sysfs, idle)
        assert holder_text(holder) == f"{used} of the same IOMMU group: its vfio device is open"
        with pytest.raises(FunctionInUseError, match="is in use"), held(lab.sysfs, [idle]):
            pytest.fail("locked a function whose group is in use")
    assert holders(lab.sysfs, idle) == ()


def test_both_are_locked_at_once(lab: Lab, pair: tuple[PciAddress, PciAddress]) -> None:
    lab.to_vfio(pair[1])
    with held(lab.sysfs, pair):
        pass
    with lab.used(pair[1]), pytest.raises(FunctionInUseError), held(lab.sysfs, pair):
        pytest.fail("locked a function that is open")
