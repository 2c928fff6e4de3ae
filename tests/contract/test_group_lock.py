"""To open a group is exclusive, so the lock keeps everybody out; where vfio has no groups, nothing does."""

import errno

import pytest
from hardware import Lab

from virtfn_host.core.address import PciAddress
from virtfn_host.linux.custody import held


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
