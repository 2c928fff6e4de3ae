"""Hand steps become plans: one VF to a driver and back, everything else as it is."""

from dataclasses import replace

import pytest
from inventories import a_pf, a_vf, an_inventory, carried_out, pf_address

from virtfn_host.core.turn.by_hand import bound, restored
from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import Resolution
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import InUse, Original, OriginalVf, Pf, Unreadable
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Forget, describe

NOBODY = InUse(holders=())
PF = a_pf(0, vfs=2, driver="igbvf")
MACHINE = an_inventory(PF)
VF = PF.vfs[1]
BEFORE = Original(
    address=PF.address,
    vendor=PF.vendor,
    device=PF.device,
    num_vfs=2,
    autoprobe=True,
    vfs=tuple(OriginalVf(index=index, driver="igbvf", driver_override=None) for index in range(2)),
)


def sentences(resolution: Resolution) -> list[str]:
    return [describe(step) for step in plan(MACHINE, resolution.desired, NOBODY).steps]


def test_bind_takes_one_vf_to_the_driver() -> None:
    assert sentences(bound(MACHINE, VF.address, "vfio-pci")) == [
        f"VF 1 of {PF.address} ({VF.address}): unbind from igbvf",
        f"VF 1 of {PF.address} ({VF.address}): set driver_override vfio-pci",
        f"VF 1 of {PF.address} ({VF.address}): bind to vfio-pci",
    ]


def test_bind_to_the_driver_that_has_it_already_is_nothing_to_do() -> None:
    assert sentences(bound(MACHINE, VF.address, "kernel")) == []


def test_restore_brings_one_vf_back() -> None:
    now = carried_out(plan(MACHINE, bound(MACHINE, VF.address, "vfio-pci").desired, NOBODY), MACHINE)
    assert now.pfs[0].vfs[1].driver == "vfio-pci"
    back = restored(now, (BEFORE,), VF.address)
    assert carried_out(plan(now, back.desired, NOBODY), now) == MACHINE


AS_BEFORE = replace(PF, autoprobe=True)


@pytest.mark.parametrize("index", [0, 1])
def test_restore_of_the_last_vf_that_differs_forgets_its_pf(index: int) -> None:
    machine, vf = an_inventory(AS_BEFORE), PF.vfs[index].address
    now = carried_out(plan(machine, bound(machine, vf, "vfio-pci").desired, NOBODY), machine)
    assert isinstance(plan(now, restored(now, (BEFORE,), vf).desired, NOBODY).steps[-1], Forget)


@pytest.mark.parametrize(
    "pf",
    [
        replace(AS_BEFORE, autoprobe=False),
        replace(AS_BEFORE, vfs=(PF.vfs[0], replace(PF.vfs[1], driver_override="vfio-pci"))),
        replace(AS_BEFORE, vfs=(PF.vfs[0], replace(PF.vfs[1], driver=None))),
        replace(AS_BEFORE, vfs=(*PF.vfs, a_vf(0, 2))),
    ],
)
def test_restore_of_a_vf_does_nothing_to_the_rest_of_its_pf(pf: Pf) -> None:
    now = an_inventory(pf)
    assert plan(now, restored(now, (BEFORE,), PF.vfs[0].address).desired, NOBODY).steps == ()


def test_what_cannot_be_read_of_the_rest_is_not_taken_for_restored() -> None:
    lost = Unreadable(device=PF.vfs[1].address, path="driver_override", error="timed out")
    back = restored(replace(an_inventory(AS_BEFORE), unreadable=(lost,)), (BEFORE,), PF.vfs[0].address)
    assert not back.desired.pfs[0].given_back


def test_restore_of_a_pf_forgets_it_afterwards() -> None:
    back = restored(MACHINE, (BEFORE,), PF.address)
    assert back.desired.pfs[0].given_back
    assert back == restored(MACHINE, (BEFORE,), None)


@pytest.mark.parametrize(
    ("address", "reason", "text"),
    [
        (PF.address, Reason.FUNCTION_TAKEN, "has 2 VFs, which would disappear with its driver"),
        (a_vf(5, 0).address, Reason.NO_MATCHING_DEVICE, "is not a function that can be handed out"),
    ],
)
def test_a_pf_with_vfs_or_a_stranger_cannot_be_bound(address: PciAddress, reason: Reason, text: str) -> None:
    (refusal,) = bound(MACHINE, address, "vfio-pci").rejected
    assert refusal.reason is reason
    assert text in refusal.message
    assert str(address) in refusal.message


def test_a_function_that_did_not_read_is_not_called_missing() -> None:
    lost = Unreadable(device=pf_address(4), path="vendor", error="timed out")
    (refusal,) = bound(replace(MACHINE, unreadable=(lost,)), pf_address(4), "vfio-pci").rejected
    assert (refusal.reason, refusal.message) == (
        Reason.UNREADABLE,
        f"{pf_address(4)}: vendor could not be read: timed out",
    )


def test_a_pf_of_whose_vfs_none_is_there_is_bound_itself() -> None:
    machine = an_inventory(a_pf(0))
    steps = plan(machine, bound(machine, PF.address, "vfio-pci").desired, NOBODY).steps
    assert [describe(step) for step in steps] == [
        f"{PF.address}: unbind from igb",
        f"{PF.address}: set driver_override vfio-pci",
        f"{PF.address}: bind to vfio-pci",
    ]


def test_what_was_never_touched_cannot_be_restored() -> None:
    for address in (PF.address, VF.address, a_vf(5, 0).address):
        (refusal,) = restored(MACHINE, (), address).rejected
        assert "never touched" in refusal.message


def test_a_replaced_card_is_not_restored_to_the_old_ones_state() -> None:
    other = replace(BEFORE, device="1572")
    assert restored(MACHINE, (other,), VF.address).desired.pfs == ()
