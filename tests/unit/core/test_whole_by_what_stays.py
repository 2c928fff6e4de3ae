"""A function that is handed out whole still matches by what its card is known by, though its netdev is gone."""

from dataclasses import replace

import pytest
from claiming import claimed, decided, holders, written
from inventories import a_plain, a_policy, an_inventory, pf_address

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.values.desired import DeviceMatcher, PolicyConfig, WholeRequest
from virtfn_host.core.values.identity import UNKNOWN, Identity
from virtfn_host.core.values.model import Function, InUse, Original, OriginalOwn

KNOWN = Identity(mac="52:54:00:00:00:01", serial="52-54-00-ff-ff-00-00-01", slot="3-1", subsystem="8086:a03c")
NO_MAC = replace(KNOWN, mac=None)
MATCHERS = {
    "permanent MAC": DeviceMatcher(permanent_mac=KNOWN.mac),
    "permanent MAC and driver": DeviceMatcher(permanent_mac=KNOWN.mac, driver="igb", netdev="eth0"),
    "serial number": DeviceMatcher(serial_number=KNOWN.serial),
    "slot": DeviceMatcher(slot=KNOWN.slot),
    "all of these": DeviceMatcher(permanent_mac=KNOWN.mac, serial_number=KNOWN.serial, slot=KNOWN.slot),
}
SHOWS = {
    "no MAC": NO_MAC,
    "no serial number: the card sleeps": replace(NO_MAC, serial=None),
    "no slot": replace(NO_MAC, slot=None),
    "nothing": UNKNOWN,
}
every_matcher = pytest.mark.parametrize("matcher", MATCHERS.values(), ids=MATCHERS.keys())
every_look = pytest.mark.parametrize("shows", SHOWS.values(), ids=SHOWS.keys())


def whole(matcher: DeviceMatcher, uid: str = "u1") -> PolicyConfig:
    request = WholeRequest(resource_name="virtfn.dev/card", driver="vfio-pci")
    return a_policy("card", count=None, pools=(), devices=(matcher,), whole=request, uid=uid)


def handed_out(number: int = 0, identity: Identity = NO_MAC) -> Function:
    return a_plain(
        number, driver="vfio-pci", driver_override="vfio-pci", vfio_bound=True, netdevs=(), identity=identity
    )


def before(function: Function, identity: Identity) -> Original:
    own = OriginalOwn(driver="igb", driver_override=None, netdevs=("eth0",))
    return Original(
        address=function.address,
        vendor=function.vendor,
        device=function.device,
        num_vfs=0,
        autoprobe=True,
        vfs=(),
        own=own,
        identity=identity,
    )


@every_matcher
@every_look
@pytest.mark.parametrize("uid", ["u1", "made anew"])
def test_what_the_original_had_counts(matcher: DeviceMatcher, shows: Identity, uid: str) -> None:
    noted = claimed(an_inventory(a_plain(0, identity=KNOWN)), whole(matcher))
    out = an_inventory(handed_out(identity=shows))
    found = decided(out, whole(matcher, uid), noted=noted, originals=(before(handed_out(), KNOWN),))
    assert (found.rejected, holders(found)) == ((), {pf_address(0): ("card",)})
    assert plan(out, found.desired, InUse(holders=())).displaces == ()
    assert [claim.uid for claim in written(found, noted)] == [uid]


@every_matcher
@every_look
@pytest.mark.parametrize("uid", ["u1", "made anew"])
@pytest.mark.parametrize("original", [NO_MAC, UNKNOWN], ids=["no MAC", "nothing"])
def test_what_only_a_claim_had_counts_too(
    matcher: DeviceMatcher, shows: Identity, uid: str, original: Identity
) -> None:
    """At the first touch its netdev had another address: only the claim has the permanent one, which rtnetlink told."""
    noted = claimed(an_inventory(a_plain(0, identity=KNOWN)), whole(matcher))
    out = an_inventory(handed_out(identity=shows))
    found = decided(out, whole(matcher, uid), noted=noted, originals=(before(handed_out(), original),))
    assert (found.rejected, holders(found)) == ((), {pf_address(0): ("card",)})
    (claim,) = written(found, noted)
    assert (claim.uid, claim.seen.identity) == (uid, KNOWN)


@every_look
def test_another_card_does_not_match(shows: Identity) -> None:
    other = whole(DeviceMatcher(permanent_mac="52:54:00:00:00:02"))
    found = decided(an_inventory(handed_out(identity=shows)), other, originals=(before(handed_out(), KNOWN),), noted=())
    assert [refusal.reason for refusal in found.rejected] == ["NoMatchingDevice"]
    assert [pf.given_back for pf in found.desired.pfs] == [True]


def test_the_slot_of_a_claim_is_not_that_of_a_card_that_moved() -> None:
    by_slot = whole(DeviceMatcher(slot=KNOWN.slot, serial_number=KNOWN.serial))
    noted = claimed(an_inventory(a_plain(0, identity=KNOWN)), by_slot)
    moved = handed_out(4, replace(NO_MAC, slot=None))
    found = decided(an_inventory(moved), by_slot, noted=noted, originals=(before(moved, moved.identity),))
    assert [refusal.reason for refusal in found.rejected] == ["DeviceGone"]
    assert [pf.given_back for pf in found.desired.pfs] == [True]
