"""Success comes from a fresh look, and every difference has a sentence."""

from dataclasses import replace

from inventories import a_pf, a_policy, a_vf, an_inventory

from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.desired import NodeConfig
from virtfn_host.core.values.model import GroupMember, Inventory
from virtfn_host.core.values.reasons import Reason

CONVERGED = an_inventory(a_pf(0, vfs=2))
DESIRED = resolve(NodeConfig(policies=(a_policy(count=2),)), CONVERGED, ()).desired


def messages(inventory: Inventory) -> list[str]:
    return [mismatch.message for mismatch in verify(DESIRED, inventory)]


def test_a_converged_machine_has_no_mismatch() -> None:
    assert verify(DESIRED, CONVERGED) == ()


def test_a_wrong_number_is_named() -> None:
    assert messages(an_inventory(a_pf(0, vfs=1))) == ["0000:01:00.0: has 1 VFs, wanted 2"]


def test_a_wrong_driver_override_and_autoprobe_are_named() -> None:
    pf = replace(CONVERGED.pfs[0], autoprobe=True, vfs=(a_vf(0, 0, "igbvf"), a_vf(0, 1, "vfio-pci")))
    assert messages(an_inventory(pf)) == [
        "0000:01:00.0: sriov_drivers_autoprobe is 1, wanted 0",
        "0000:01:10.0: is on igbvf, wanted vfio-pci",
        "0000:01:10.2: driver_override is empty, wanted vfio-pci",
    ]


def test_a_pf_that_went_away_is_gone_not_converged() -> None:
    assert [m.reason for m in verify(DESIRED, an_inventory())] == [Reason.DEVICE_GONE]


def test_a_spoiled_group_is_no_success() -> None:
    intruder = GroupMember(address=a_vf(3, 0).address, driver="e1000e", vfio_bound=False)
    groups = tuple(replace(g, members=(*g.members, intruder)) if g.number == 101 else g for g in CONVERGED.groups)
    assert [m.reason for m in verify(DESIRED, replace(CONVERGED, groups=groups))] == [Reason.GROUP_NOT_VIABLE]


def test_a_vf_on_vfio_that_has_no_group_is_no_success() -> None:
    pf = CONVERGED.pfs[0]
    bare = replace(pf, vfs=tuple(replace(vf, iommu_group=None) if vf.index == 0 else vf for vf in pf.vfs))
    assert [m.reason for m in verify(DESIRED, replace(CONVERGED, functions=(bare,)))] == [Reason.NO_IOMMU]
