"""A device that cannot be read is not gone: what policies and the journal have of it stays, and is told."""

from dataclasses import replace

import pytest
from claiming import Claims, claimed, decided, holders, reasons, written
from inventories import a_pf, a_policy, a_vf, an_inventory, pf_address

from virtfn_host.core.turn.by_hand import bound, restored
from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import Resolution
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, PolicyConfig
from virtfn_host.core.values.identity import Identity
from virtfn_host.core.values.model import InUse, Inventory, Original, Unreadable
from virtfn_host.core.values.reasons import Reason

DARK, SEEN = a_pf(0, 7, autoprobe=False), a_pf(1, 7, autoprobe=False)
LOST = (Unreadable(device=DARK.address, path="numa_node", error="timed out"),)
BEFORE, NOW = an_inventory(DARK, SEEN), an_inventory(SEEN, unreadable=LOST)
OURS = Original(address=DARK.address, vendor=DARK.vendor, device=DARK.device, num_vfs=0, autoprobe=True, vfs=())
BY_ADDRESS = a_policy(devices=(DeviceMatcher(address=DARK.address),))
UNREAD = (DARK.address, Reason.UNREADABLE, f"{DARK.address}: numa_node could not be read: timed out")


def told(found: Resolution, machine: Inventory = NOW) -> list[tuple[PciAddress, Reason, str]]:
    """What is blocked, after a check that `verify` tells of it, too, and that nothing of it is written."""
    made = plan(machine, found.desired, InUse(holders=()))
    assert not any(part.steps for part in made.pfs if part.pf == DARK.address)
    blocked = [it for it in made.blocked if it.device == DARK.address]
    differs = {m.message for m in verify(found.desired, machine) if m.device == str(DARK.address)}
    assert differs == {it.message.removesuffix("; left alone until it can be read") for it in blocked}
    return [(it.device, it.reason, it.message.removesuffix("; left alone until it can be read")) for it in blocked]


@pytest.mark.parametrize(
    "policy",
    [a_policy(), a_policy(count=3, generation=2), BY_ADDRESS],
    ids=["matches another one too", "edited", "by its address"],
)
def test_a_policy_keeps_its_claim_and_waits(policy: PolicyConfig) -> None:
    noted = claimed(BEFORE, policy)
    found = decided(NOW, policy, noted=noted, originals=(OURS,))
    assert holders(found)[DARK.address] == ("fast",)
    assert told(found) == [UNREAD]
    assert written(found, noted) == noted
    assert found.rejected == ()


@pytest.mark.parametrize("noted", [claimed(BEFORE, a_policy()), ()], ids=["claimed", "its claims are lost"])
def test_what_is_to_be_given_back_is_not_forgotten(noted: Claims) -> None:
    found = decided(NOW, noted=noted, originals=(OURS,))
    assert told(found) == [UNREAD]
    assert DARK.address not in {note.address for note in found.desired.notes}


def test_what_one_of_two_policies_ended_stays_noted() -> None:
    both = (a_policy(), a_policy("slow", count=None))
    noted = claimed(BEFORE, *both)
    found = decided(NOW, both[0], noted=noted, originals=(OURS,))
    assert told(found) == [UNREAD]
    assert [c for c in written(found, noted) if c.seen.address == DARK.address] == [
        c for c in noted if c.seen.address == DARK.address
    ]


def test_one_that_was_never_touched_hinders_nothing() -> None:
    found = decided(NOW, a_policy(), noted=claimed(an_inventory(SEEN), a_policy()))
    assert (told(found), found.rejected, list(holders(found))) == ([], (), [SEEN.address])


def test_a_claim_that_ended_without_a_touch_in_this_boot_leaves_nothing_to_give_back() -> None:
    noted = claimed(BEFORE, a_policy())
    found = decided(NOW, noted=noted)
    assert (found.desired.pfs, written(found, noted)) == ((), ())


def test_a_policy_that_matches_nothing_else_and_never_had_it_is_told_that_this_is_unknown() -> None:
    assert reasons(decided(NOW, BY_ADDRESS).rejected) == ["Unreadable"]


def test_a_vf_that_cannot_be_read_in_part_is_no_unknown_device() -> None:
    lost = Unreadable(device=SEEN.vfs[0].address, path="driver_override", error="timed out")
    machine = an_inventory(SEEN, unreadable=(lost,))
    assert reasons(decided(machine, a_policy(devices=(DeviceMatcher(vendor="15b3"),))).rejected) == ["NoMatchingDevice"]


def test_its_twin_elsewhere_is_not_taken_for_it() -> None:
    """Halves of one card may have one serial number."""
    card = Identity(serial="52-54-00-ff-ff-00-00-01")
    noted = claimed(an_inventory(replace(DARK, identity=card)), BY_ADDRESS)
    machine = an_inventory(replace(SEEN, identity=card), unreadable=LOST)
    found = decided(machine, BY_ADDRESS, noted=noted)
    assert (told(found, machine), list(holders(found))) == ([UNREAD], [DARK.address])


@pytest.mark.parametrize("address", [None, DARK.address])
def test_a_restore_says_that_it_cannot_be_read(address: PciAddress | None) -> None:
    found = restored(NOW, (OURS,), address, claimed(BEFORE, a_policy()))
    assert told(found) == [UNREAD]


@pytest.mark.parametrize("address", [DARK.address, DARK.vfs[1].address])
def test_by_hand_it_and_its_vfs_are_not_called_missing(address: PciAddress) -> None:
    for found in (bound(NOW, address, "vfio-pci"), restored(NOW, (), address)):
        (refusal,) = found.rejected
        assert refusal.reason is Reason.UNREADABLE
        assert "numa_node could not be read: timed out" in refusal.message
        assert str(DARK.address) in refusal.message


def test_by_hand_a_stranger_is_missing_where_everything_reads() -> None:
    for found in (bound(BEFORE, a_vf(5, 0).address, "vfio-pci"), restored(BEFORE, (), pf_address(5))):
        assert reasons(found.rejected) == ["NoMatchingDevice"]
