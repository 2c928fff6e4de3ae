"""A card is known by more than its address: one that moved is found again, one that took another's place is another."""

from dataclasses import replace

import pytest
from claiming import claimed, decided, holders, reasons, written
from inventories import a_pf, a_policy, an_inventory, pf_address

from virtfn_host.core.turn.claims import Claims
from virtfn_host.core.turn.plan import plan
from virtfn_host.core.values.desired import DeviceMatcher
from virtfn_host.core.values.identity import Claim, Identity, differs, proves
from virtfn_host.core.values.model import InUse, Original, Pf
from virtfn_host.core.values.steps import Forget

SERIAL, OTHER_SERIAL = "52-54-00-ff-ff-00-00-01", "52-54-00-ff-ff-00-00-02"
MAC, OTHER_MAC = "52:54:00:00:00:01", "52:54:00:00:00:02"
BY_NAME = a_policy(count=2, devices=(DeviceMatcher(netdev="eth0"),))
HERE, THERE = pf_address(0), pf_address(4)


def card(number: int, netdev: str = "eth0", **identity: str) -> Pf:
    return a_pf(number, netdevs=(netdev,), identity=Identity(**identity))


def recognised(before: Pf, *now: Pf) -> list[str]:
    """Return where the function of a claim is found."""
    noted = claimed(an_inventory(before), BY_NAME)
    claims = Claims(noted, an_inventory(*now), {})
    return [str(pf.address) for pf in now if claims._of.get(pf.address)]


@pytest.mark.parametrize("identity", [{"serial": SERIAL}, {"mac": MAC}, {"serial": SERIAL, "mac": MAC}])
def test_a_card_that_moved_keeps_its_claim(identity: dict[str, str]) -> None:
    noted = claimed(an_inventory(card(0, **identity)), BY_NAME)
    moved = an_inventory(card(4, "enp5s0", **identity))
    found = decided(moved, BY_NAME, noted=noted)
    assert holders(found) == {THERE: ("fast",)}
    assert reasons(found.rejected) == ["ClaimKept"]


def test_the_claim_of_a_card_that_moved_is_noted_at_the_new_address_and_then_dropped_at_the_old() -> None:
    noted = claimed(an_inventory(card(0, serial=SERIAL)), BY_NAME)
    moved = an_inventory(card(4, "enp5s0", serial=SERIAL))
    once = written(decided(moved, BY_NAME, noted=noted), noted)
    assert {claim.seen.address for claim in once} == {HERE, THERE}
    twice = written(decided(moved, BY_NAME, noted=once), once)
    assert [claim.seen.address for claim in twice] == [THERE]
    assert decided(moved, BY_NAME, noted=twice).desired.notes == ()
    assert holders(decided(moved, BY_NAME, noted=twice)) == {THERE: ("fast",)}


def test_a_policy_that_names_the_address_does_not_follow_the_card() -> None:
    asked = a_policy(count=2, devices=(DeviceMatcher(address=HERE),))
    noted = claimed(an_inventory(card(0, serial=SERIAL)), asked)
    moved = an_inventory(card(4, "enp5s0", serial=SERIAL))
    found = decided(moved, asked, noted=noted)
    assert holders(found) == {}
    assert reasons(found.rejected) == ["DeviceGone"]


def test_a_policy_that_names_the_slot_does_not_follow_the_card_and_takes_the_one_that_is_there() -> None:
    asked = a_policy(count=2, devices=(DeviceMatcher(slot="3"),))
    noted = claimed(an_inventory(card(0, serial=SERIAL, slot="3")), asked)
    now = an_inventory(card(0, serial=OTHER_SERIAL, slot="3"), card(4, "enp5s0", serial=SERIAL, slot="4"))
    assert holders(decided(now, asked, noted=noted)) == {HERE: ("fast",)}


@pytest.mark.parametrize(
    "other",
    [
        card(0, serial=OTHER_SERIAL, mac=MAC),
        card(0, mac=OTHER_MAC),
        card(0, serial=SERIAL, mac=MAC, subsystem="8086:0001"),
        replace(card(0, serial=SERIAL), device="1520"),
    ],
    ids=["serial number", "permanent MAC", "subsystem", "device"],
)
def test_a_card_that_came_to_anothers_address_is_another(other: Pf) -> None:
    before = card(0, serial=SERIAL, mac=MAC, subsystem="8086:a03c")
    noted = claimed(an_inventory(before), BY_NAME)
    found = decided(an_inventory(replace(other, netdevs=("enp1s0",))), BY_NAME, noted=noted)
    assert holders(found) == {}
    assert reasons(found.rejected) == ["DeviceGone"]


@pytest.mark.parametrize("now", [{}, {"serial": SERIAL}, {"mac": MAC}, {"slot": "9"}], ids=str)
def test_only_what_both_looks_have_is_compared(now: dict[str, str]) -> None:
    before = card(0, serial=SERIAL, mac=MAC, subsystem="8086:a03c", slot="3")
    assert recognised(before, card(0, "enp1s0", **now)) == [str(HERE)]


def test_two_cards_that_changed_places_are_both_found() -> None:
    left, right = card(0, "eth0", mac=MAC), card(4, "eth1", mac=OTHER_MAC)
    first = a_policy("first", 2, devices=(DeviceMatcher(netdev="eth0"),))
    second = a_policy("second", 2, devices=(DeviceMatcher(netdev="eth1"),))
    noted = claimed(an_inventory(left, right), first, second)
    now = an_inventory(card(0, "x", mac=OTHER_MAC), card(4, "y", mac=MAC))
    assert holders(decided(now, first, second, noted=noted)) == {HERE: ("second",), THERE: ("first",)}


def test_a_number_that_two_cards_have_proves_no_move() -> None:
    before = card(0, serial=SERIAL)
    assert recognised(before, card(2, "x", serial=SERIAL), card(4, "y", serial=SERIAL)) == []


def test_another_function_of_the_same_card_is_not_the_one_that_moved() -> None:
    before = card(0, serial=SERIAL)
    second = replace(card(4, "x", serial=SERIAL), address=THERE._replace(function=1))
    assert recognised(before, second) == []


def test_two_ports_of_one_card_that_changed_numbers_are_told_apart_by_their_macs() -> None:
    before = card(0, serial=SERIAL, mac=MAC)
    first = card(0, "x", serial=SERIAL, mac=OTHER_MAC)
    second = replace(card(0, "y", serial=SERIAL, mac=MAC), address=HERE._replace(function=1))
    assert recognised(before, first, second) == [str(second.address)]


def test_the_original_of_another_card_is_not_given_back() -> None:
    original = Original(
        address=HERE,
        vendor="8086",
        device="10c9",
        num_vfs=0,
        autoprobe=True,
        vfs=(),
        identity=Identity(serial=SERIAL),
    )
    other = replace(card(0, serial=OTHER_SERIAL), vfs=a_pf(0, 4).vfs)
    desired = decided(an_inventory(other), originals=(original,)).desired
    assert (desired.pfs, desired.replaced) == ((), (HERE,))
    assert plan(an_inventory(other), desired, InUse(holders=())).steps == (Forget(pf=HERE, another=True),)
    same = replace(card(0, serial=SERIAL), vfs=a_pf(0, 4).vfs)
    assert [pf.num_vfs for pf in decided(an_inventory(same), originals=(original,)).desired.pfs] == [0]


def test_a_card_that_is_gone_is_a_problem_of_the_policy_that_matches_nothing_else() -> None:
    noted = claimed(an_inventory(card(0), card(4)), BY_NAME)
    assert len(noted) == 2
    one = decided(an_inventory(card(4)), BY_NAME, noted=noted)
    assert one.rejected == ()
    none = decided(an_inventory(card(2, "x")), BY_NAME, noted=noted)
    assert reasons(none.rejected) == ["DeviceGone"]
    assert none.rejected[0].device == str(HERE)
    assert written(none, noted) == noted


def test_a_card_that_comes_back_is_claimed_as_before() -> None:
    noted: tuple[Claim, ...] = claimed(an_inventory(card(0, mac=MAC)), BY_NAME)
    noted = written(decided(an_inventory(card(4, "x")), BY_NAME, noted=noted), noted)
    back = an_inventory(card(0, "enp1s0", mac=MAC))
    assert holders(decided(back, BY_NAME, noted=noted)) == {HERE: ("fast",)}


def test_identities_differ_or_prove() -> None:
    bare, numbered = Identity(), Identity(serial=SERIAL)
    assert not differs(bare, numbered)
    assert not proves(bare, numbered)
    assert proves(numbered, numbered)
    assert not differs(Identity(serial=SERIAL, mac=MAC), Identity(serial=SERIAL, mac=OTHER_MAC))
    assert not proves(Identity(serial=SERIAL, mac=MAC), Identity(serial=SERIAL, mac=OTHER_MAC))
    assert differs(Identity(mac=MAC), Identity(mac=OTHER_MAC))
