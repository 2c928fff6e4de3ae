"""The end of a policy takes away no VF that another program made, and each VF that virtfn made."""

import pytest
from hardware import Lab
from numbers_of_vfs import drivers, on, remade, turn

from virtfn_host.core.values.desired import WholeRequest
from virtfn_host.linux.look.inventory import read_inventory

OURS = ("vfio-pci", "vfio-pci")


@pytest.mark.parametrize(("autoprobe", "own"), [(True, "igbvf"), (False, None)])
@pytest.mark.parametrize(("first", "later"), [(2, 4), (4, 2), (3, 0), (0, 3), (2, 2)])
def test_the_number_that_an_administrator_chose_since_stays(
    lab: Lab, first: int, later: int, autoprobe: bool, own: str | None
) -> None:
    remade(lab, first, autoprobe=autoprobe)
    if first:
        assert turn(lab, on(lab, None)) == []
        assert drivers(lab) == [OURS] * first
    else:
        lab.machine.journal.remember(read_inventory(lab.sysfs).pfs[0])  # as when only an MTU is set
    remade(lab, later, autoprobe=autoprobe)
    assert turn(lab, on(lab, None)) == []
    assert drivers(lab) == [OURS] * later
    assert turn(lab) == []
    assert drivers(lab) == [(own, None)] * later
    assert lab.machine.journal.originals() == ()


@pytest.mark.parametrize("first", [0, 2])
def test_a_number_that_a_policy_set_is_given_back(lab: Lab, first: int) -> None:
    remade(lab, first, autoprobe=True)
    assert turn(lab, on(lab, 3)) == ([0, 3] if first else [3])
    assert turn(lab, on(lab, None)) == []
    assert turn(lab) == ([0, first] if first else [0])
    assert drivers(lab) == [("igbvf", None)] * first
    assert lab.machine.journal.originals() == ()


def test_a_count_that_was_there_already_is_no_number_of_ours(lab: Lab) -> None:
    remade(lab, 2, autoprobe=True)
    assert turn(lab, on(lab, 2)) == []
    remade(lab, 4, autoprobe=True)
    assert turn(lab) == []
    assert len(drivers(lab)) == 4


def test_a_pf_with_vfs_of_an_administrator_is_not_emptied_to_be_handed_out(lab: Lab) -> None:
    lab.machine.journal.remember(read_inventory(lab.sysfs).pfs[0])
    remade(lab, 3, autoprobe=True)
    request = WholeRequest(resource_name="virtfn.dev/whole", driver="vfio-pci")
    assert turn(lab, on(lab, None, pools=(), whole=request)) == []
    assert len(drivers(lab)) == 3
