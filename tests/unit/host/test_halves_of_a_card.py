"""Two functions with one serial number: a claim does not move from one to the other because a MAC is hidden."""

from dataclasses import replace

import pytest
from inventories import a_pf, a_policy, an_inventory

from virtfn_host.core.turn.claims import may_be_proven
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig
from virtfn_host.core.values.identity import Claim, Identity, Seen
from virtfn_host.core.values.model import Pf

SERIAL = "b8-3f-d2-03-00-11-22-33"
MACS = ("52:54:00:00:01:00", "52:54:00:00:02:00")
PLACES = (PciAddress(0, 1, 0, 0), PciAddress(0, 2, 0, 0))


def half(place: PciAddress, mac: str | None, netdev: str = "x") -> Pf:
    return replace(a_pf(0), address=place, netdevs=(netdev,), identity=Identity(serial=SERIAL, mac=mac))


def claimed(mac: str | None) -> Claim:
    pf = half(PLACES[0], mac, "ens1")
    seen = Seen(
        address=pf.address,
        vendor=pf.vendor,
        device=pf.device,
        class_code=pf.class_code,
        driver=pf.driver,
        netdevs=pf.netdevs,
        numa_node=pf.numa_node,
        identity=pf.identity,
    )
    return Claim(policy="fast", uid="u-fast", generation=1, seen=seen)


def has(there: Pf, claim: Claim) -> bool:
    """Whether the policy of the claim has the one function that is there."""
    policy = replace(a_policy("fast"), uid="u-fast", devices=(DeviceMatcher(netdev="ens1"),))
    config = NodeConfig(policies=(policy,))
    found = resolve(config, an_inventory(there), (), (claim,))
    return [pf.address for pf in found.desired.pfs] == [there.address]


@pytest.mark.parametrize(
    ("before", "now", "moved"),
    [
        (MACS[0], MACS[0], True),
        (MACS[0], MACS[1], False),
        (MACS[0], None, False),
        (None, MACS[1], False),
        (None, None, True),
    ],
)
def test_a_claim_moves_by_the_mac_where_one_is_known(before: str | None, now: str | None, moved: bool) -> None:
    assert has(half(PLACES[1], now), claimed(before)) is moved


@pytest.mark.parametrize(
    ("there", "before", "asked"),
    [
        (half(PLACES[1], None), MACS[0], True),
        (half(PLACES[1], None), None, False),
        (half(PLACES[0], None), MACS[0], False),
        (replace(half(PLACES[0], None), device="1521"), MACS[0], True),
    ],
)
def test_macs_are_asked_for_only_where_a_claim_with_one_lost_its_place(
    there: Pf, before: str | None, asked: bool
) -> None:
    assert may_be_proven([claimed(before)], an_inventory(there)) is asked
