"""A policy keeps what it claimed, whatever the function looks like now, and says so."""

from dataclasses import replace
from typing import Any

import pytest
from claiming import claimed, decided, holders, reasons, written
from inventories import a_pf, a_plain, a_policy, an_inventory, pf_address

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.values.desired import DeviceMatcher, PolicyConfig, WholeRequest
from virtfn_host.core.values.identity import Identity
from virtfn_host.core.values.model import InUse, Original, OriginalOwn
from virtfn_host.core.values.steps import NoteClaims

KNOWN = Identity(mac="52:54:00:00:00:01", serial="52-54-00-ff-ff-00-00-01", slot="3-1", subsystem="8086:a03c")
PF = a_pf(0, 2, netdevs=("eth0",), numa_node=0, identity=KNOWN)
EVERY = DeviceMatcher(
    vendor="8086",
    device="10c9",
    class_code="0200",
    driver="igb",
    netdev="eth0",
    numa_node=0,
    permanent_mac="52:54:00:00:00:01",
    serial_number="52-54-00-ff-ff-00-00-01",
    slot="3-1",
)
LOOKS: dict[str, dict[str, Any]] = {
    "renamed": {"netdevs": ("ens7f0np0",)},
    "renamed, the old name is an alternative one of none": {"netdevs": ("ens7f0np0", "enp1s0f0np0")},
    "two netdevs now": {"netdevs": ("ens7f0", "ens7f1")},
    "in another network namespace": {"netdevs": (), "identity": replace(KNOWN, mac=None)},
    "in a bond": {"identity": replace(KNOWN, mac=None)},
    "renamed within a bond": {"netdevs": ("slave0",), "identity": replace(KNOWN, mac=None)},
    "its driver is being reloaded": {"driver": None, "netdevs": (), "identity": replace(KNOWN, mac=None)},
    "another driver": {"driver": "igb_uio", "netdevs": ()},
    "on vfio-pci": {"driver": "vfio-pci", "vfio_bound": True, "netdevs": ()},
    "no NUMA node any more": {"numa_node": None},
    "a class that a new driver reports": {"class_code": "020700"},
    "its netdevs cannot be read": {"netdevs": (), "identity": replace(KNOWN, mac=None)},
    "its configuration space cannot be read": {"identity": replace(KNOWN, serial=None)},
    "its slot has another name": {"identity": replace(KNOWN, slot="7")},
    "nothing is known of its card": {"identity": Identity()},
}


def asking(matcher: DeviceMatcher) -> PolicyConfig:
    return a_policy(count=2, devices=(matcher,))


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_a_look_ends_no_claim(look: dict[str, Any]) -> None:
    noted = claimed(an_inventory(PF), asking(EVERY))
    machine = an_inventory(replace(PF, **look))
    found = decided(machine, asking(EVERY), noted=noted)
    if "driver" not in look:  # without its driver a PF can make no VFs: that is said, too, and nothing is done
        assert holders(found) == {PF.address: ("fast",)}
        assert plan(machine, found.desired, InUse(holders=())).steps == ()
    assert "ClaimKept" in reasons(found.rejected)
    assert not any(pf.given_back for pf in found.desired.pfs)
    assert written(found, noted) == noted


@pytest.mark.parametrize("field", ["netdev", "driver", "numa_node", "slot", "permanent_mac", "serial_number"])
def test_what_is_said_names_the_field_before_and_now(field: str) -> None:
    matcher = DeviceMatcher(**{field: getattr(EVERY, field)})
    bare: dict[str, dict[str, Any]] = {
        "netdev": {"netdevs": ("x0",)},
        "driver": {"driver": "ixgbe"},
        "numa_node": {"numa_node": 1},
    }
    look = bare.get(field, {"identity": Identity()})
    noted = claimed(an_inventory(PF), asking(matcher))
    (problem,) = [
        r
        for r in decided(an_inventory(replace(PF, **look)), asking(matcher), noted=noted).rejected
        if r.reason == "ClaimKept"
    ]
    names = {"numa_node": "numaNode", "permanent_mac": "permanentMac", "serial_number": "serialNumber"}
    assert f"was recognised by {names.get(field, field)} {getattr(EVERY, field)}" in problem.message
    assert problem.device == str(PF.address)


def test_the_way_out_names_what_stays() -> None:
    noted = claimed(an_inventory(PF), asking(DeviceMatcher(netdev="eth0")))
    found = decided(an_inventory(replace(PF, netdevs=("x0",))), asking(DeviceMatcher(netdev="eth0")), noted=noted)
    stays = "permanentMac 52:54:00:00:00:01, serialNumber 52-54-00-ff-ff-00-00-01, slot 3-1"
    assert f"Name it in devices by {stays}" in found.rejected[0].message


def test_a_claim_is_noted_before_the_first_touch() -> None:
    machine = an_inventory(a_pf(0))
    made = plan(machine, decided(machine, a_policy()).desired, InUse(holders=()))
    assert isinstance(made.steps[0], NoteClaims)
    assert [claim.policy for claim in made.steps[0].claims] == ["fast"]


def test_a_claim_that_is_noted_needs_no_step() -> None:
    machine = an_inventory(a_pf(0, 7, autoprobe=False))
    noted = claimed(machine, a_policy())
    assert decided(machine, a_policy(), noted=noted).desired.notes == ()


def test_a_rename_that_still_matches_is_not_noted_and_not_told() -> None:
    noted = claimed(an_inventory(PF), a_policy(count=2))
    found = decided(an_inventory(replace(PF, netdevs=("x0",))), a_policy(count=2), noted=noted)
    assert (found.desired.notes, found.rejected) == ((), ())


def test_what_becomes_known_of_a_card_is_added_to_its_claim() -> None:
    noted = claimed(an_inventory(replace(PF, identity=Identity(mac=KNOWN.mac))), a_policy(count=2))
    found = decided(an_inventory(PF), a_policy(count=2), noted=noted)
    assert [claim.seen.identity for claim in written(found, noted)] == [KNOWN]


def test_an_edit_of_other_fields_with_a_rename_keeps_the_claim() -> None:
    asked = asking(DeviceMatcher(netdev="eth0"))
    noted = claimed(an_inventory(PF), asked)
    edited = replace(asked, generation=2, count=5)
    found = decided(an_inventory(replace(PF, netdevs=("x0",))), edited, noted=noted)
    assert holders(found) == {PF.address: ("fast",)}
    assert found.desired.pfs[0].num_vfs == 5


def test_an_edit_that_follows_the_rename_takes_the_new_look() -> None:
    noted = claimed(an_inventory(PF), asking(DeviceMatcher(netdev="eth0")))
    renamed = an_inventory(replace(PF, netdevs=("x0",)))
    followed = replace(asking(DeviceMatcher(netdev="x0")), generation=2)
    found = decided(renamed, followed, noted=noted)
    assert found.rejected == ()
    (claim,) = written(found, noted)
    assert (claim.generation, claim.seen.netdevs) == (2, ("x0",))
    again = decided(an_inventory(replace(PF, netdevs=("y0",))), followed, noted=(claim,))
    assert holders(again) == {PF.address: ("fast",)}


def test_another_function_that_gets_the_name_is_not_taken() -> None:
    other = a_pf(1, netdevs=("eth1",))
    asked = asking(DeviceMatcher(netdev="eth0"))
    noted = claimed(an_inventory(PF, other), asked)
    swapped = an_inventory(replace(PF, netdevs=("eth1",)), replace(other, netdevs=("eth0",)))
    found = decided(swapped, asked, noted=noted)
    assert holders(found) == {PF.address: ("fast",)}
    assert reasons(found.rejected) == ["ClaimKept"]


def test_another_function_that_a_matcher_without_the_name_matches_is_taken() -> None:
    other = a_pf(1, netdevs=("eth1",))
    asked = a_policy(count=2, devices=(DeviceMatcher(netdev="eth0"), DeviceMatcher(address=other.address)))
    noted = claimed(an_inventory(PF), asked)
    swapped = an_inventory(replace(PF, netdevs=("eth1",)), replace(other, netdevs=("eth0",)))
    assert holders(decided(swapped, asked, noted=noted)) == {PF.address: ("fast",), other.address: ("fast",)}


def test_a_pf_whose_sriov_is_gone_is_kept_and_told() -> None:
    noted = claimed(an_inventory(PF), a_policy(count=2))
    plain = a_plain(0, netdevs=("eth0",))
    original = Original(address=PF.address, vendor="8086", device="10c9", num_vfs=0, autoprobe=True, vfs=())
    found = decided(an_inventory(plain), a_policy(count=2), noted=noted, originals=(original,))
    assert reasons(found.rejected) == ["ClaimKept", "SriovUnsupported"]
    assert [pf.refused for pf in found.desired.pfs] == [True]
    assert written(found, noted) == noted


def test_a_whole_function_is_noted_as_it_was_before_it_was_handed_out() -> None:
    out = a_plain(0, driver="vfio-pci", driver_override="vfio-pci", vfio_bound=True, netdevs=())
    own = OriginalOwn(driver="igb", driver_override=None, netdevs=("eth0",))
    before = Original(address=out.address, vendor="8086", device="10c9", num_vfs=0, autoprobe=True, vfs=(), own=own)
    asked = a_policy(
        count=None,
        pools=(),
        devices=(DeviceMatcher(driver="igb", netdev="eth0"),),
        whole=WholeRequest(resource_name="virtfn.dev/whole", driver="vfio-pci"),
    )
    found = decided(an_inventory(out), asked, originals=(before,))
    (claim,) = written(found)
    assert (claim.seen.driver, claim.seen.netdevs) == ("igb", ("eth0",))
    # The next boot has no original, and another program may have it on vfio-pci from its start.
    assert holders(decided(an_inventory(out), asked, noted=(claim,))) == {out.address: ("fast",)}


def test_without_a_policy_there_is_no_claim() -> None:
    assert claimed(an_inventory(PF)) == ()


def test_a_refused_claim_is_not_noted() -> None:
    machine = an_inventory(PF)
    found = decided(machine, a_policy("first", 2), a_policy("second", 3))
    assert [claim.policy for claim in written(found)] == ["first"]
    assert pf_address(0) in holders(found)
