"""While an edit waits or is refused, functions are offered on the terms of before: link, link settings and MTU too."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from inventories import NEW_LINK, a_linked_pf, a_plain, a_pod, a_policy, an_inventory

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.pools import pools
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import decode, encode
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig, PoolRequest, WholeRequest
from virtfn_host.core.values.link import as_kept
from virtfn_host.core.values.mac import ZERO_GUID, ZERO_MAC
from virtfn_host.core.values.model import InUse, Inventory, Lasting, LinkRequest, Original, Pf, VfLink
from virtfn_host.core.values.offered import PoolSet
from virtfn_host.core.values.parts import Part
from virtfn_host.core.values.reasons import Reason

EMPTY = PoolSet(boot_id="boot-1", pools=())
MAC, OTHER_MAC, GUID = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:00:00:01"
OTHER_GUID = "02:00:00:00:00:00:00:02"
POOL = PoolRequest(resource_name="virtfn.dev/fast", indexes=None, driver="vfio-pci")
BARE = Original(address=a_linked_pf(0).address, vendor="8086", device="10c9", num_vfs=0, autoprobe=True, vfs=())


def asking(mtu: int | None = None, count: int = 7, **fields: Any) -> PolicyConfig:
    return a_policy(count=count, pools=(replace(POOL, **fields),), mtu=mtu)


def of_link(**fields: Any) -> dict[str, Any]:
    return {"link": LinkRequest(**fields)}


def shown(**fields: Any) -> Callable[[Pf], Pf]:
    link = replace(NEW_LINK, **fields)
    return lambda pf: replace(pf, vfs=tuple(replace(vf, link=link) for vf in pf.vfs))


def lacking(part: Part) -> Callable[[Pf], Pf]:
    return lambda pf: replace(pf, lacks=(part,))


def on_mtu(mtu: int | None) -> Callable[[Pf], Pf]:
    return lambda pf: replace(pf, mtu=mtu)


def link_not_shown(pf: Pf) -> Pf:
    return replace(pf, vfs=tuple(replace(vf, link=None) for vf in pf.vfs))


LINK: dict[str, Any] = {"require_link": True}
EDITS: dict[str, dict[str, Any]] = {
    "driver": {"driver": "kernel"},
    "name": {"resource_name": "virtfn.dev/slow", "count": 3},
    "refused": {"count": 8},
}
TERMS = [
    pytest.param(LINK, shown(), lacking(Part.UP), Reason.NOT_USABLE, id="down"),
    pytest.param(LINK, shown(), lacking(Part.CARRIER), Reason.NOT_USABLE, id="no carrier"),
    pytest.param(of_link(vlan=100), shown(vlan=100), shown(vlan=7), Reason.LINK_SETTING_REFUSED, id="VLAN"),
    pytest.param(of_link(vlan=100), shown(vlan=100), link_not_shown, Reason.LINK_SETTING_REFUSED, id="not shown"),
    pytest.param(
        of_link(spoof_check=True), shown(), shown(spoof_check=False), Reason.LINK_SETTING_REFUSED, id="spoof check"
    ),
    pytest.param(
        of_link(mac=Lasting.STABLE), shown(mac=MAC), shown(mac=ZERO_MAC), Reason.LINK_SETTING_REFUSED, id="MAC"
    ),
    pytest.param({"mtu": 9000}, on_mtu(9000), on_mtu(1500), Reason.LINK_SETTING_REFUSED, id="MTU"),
    pytest.param({"mtu": 9000}, on_mtu(9216), on_mtu(None), Reason.LINK_SETTING_REFUSED, id="MTU not shown"),
]


def machine(changed: Callable[[Pf], Pf]) -> Inventory:
    return an_inventory(changed(a_linked_pf(0, vfs=7)))


def published(inventory: Inventory, asked: PolicyConfig, previous: PoolSet = EMPTY, *held: PciAddress) -> PoolSet:
    in_use = InUse(holders=tuple(map(a_pod, held)))
    desired = resolve(NodeConfig(policies=(asked,)), inventory, (BARE,)).desired
    made = plan(inventory, desired, in_use)
    again = decode(PoolSet, encode(previous), "pools")  # a restarted agent reads it from the pool file
    return pools(desired=desired, inventory=inventory, in_use=in_use, plan=made, previous=again, withdrawn=frozenset())


def reasons(found: PoolSet) -> set[Reason | None]:
    return {device.reason for pool in found.pools for device in pool.devices}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("keeps", [True, False], ids=["asks for them still", "drops them"])
@pytest.mark.parametrize(("terms", "good", "bad", "reason"), TERMS)
def test_a_term_that_is_lost_while_an_edit_waits_makes_its_vfs_unhealthy_until_it_is_there_again(
    terms: dict[str, Any],
    good: Callable[[Pf], Pf],
    bad: Callable[[Pf], Pf],
    reason: Reason,
    keeps: bool,
    edit: dict[str, Any],
) -> None:
    before, after = machine(good), machine(bad)
    held = before.pfs[0].vfs[0].address
    served = published(before, asking(**terms))
    assert reasons(served) == {None}
    edited = asking(**{**terms, **edit} if keeps else edit)
    waits = published(before, edited, served, held)
    assert waits == served
    lost = published(after, edited, waits, held)
    assert reasons(lost) == {reason}
    assert reasons(published(after, edited, lost, held)) == {reason}
    assert published(before, edited, lost, held) == served


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("terms", [LINK, of_link(vlan=100), {"mtu": 9000}], ids=["link", "VLAN", "MTU"])
def test_a_term_that_only_the_edit_asks_for_takes_nothing_away_while_it_waits(
    terms: dict[str, Any], edit: dict[str, Any]
) -> None:
    there = machine(lacking(Part.UP))
    served = published(there, asking())
    assert published(there, asking(**{**terms, **edit}), served, there.pfs[0].vfs[0].address) == served


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_lasting_address_that_was_set_anew_is_as_good(edit: dict[str, Any]) -> None:
    served = published(machine(shown(mac=MAC)), asking(**of_link(mac=Lasting.STABLE)))
    there = machine(shown(mac=OTHER_MAC))
    asked = asking(**of_link(mac=Lasting.STABLE), **edit)
    assert reasons(published(there, asked, served, there.pfs[0].vfs[0].address)) == {None}


@pytest.mark.parametrize(
    ("asked", "other", "none"),
    [
        (VfLink(mac=MAC), VfLink(mac=OTHER_MAC), VfLink(mac=ZERO_MAC)),
        (VfLink(node_guid=GUID), VfLink(node_guid=OTHER_GUID), VfLink(node_guid=ZERO_GUID)),
        (VfLink(port_guid=GUID), VfLink(port_guid=OTHER_GUID), VfLink(port_guid=ZERO_GUID)),
    ],
)
def test_so_is_a_guid_and_zero_is_none(asked: VfLink, other: VfLink, none: VfLink) -> None:
    assert as_kept(asked, other) == other
    assert as_kept(asked, none) == asked
    assert as_kept(asked, None) == asked
    assert as_kept(VfLink(vlan=1), other) == VfLink(vlan=1)


@pytest.mark.parametrize("part", [Part.UP, Part.CARRIER])
def test_a_whole_function_that_requires_its_link_does_so_while_an_edit_waits(part: Part) -> None:
    own = a_plain(0, driver="igb", lacks=())

    def asked(driver: str) -> PolicyConfig:
        whole = WholeRequest(resource_name="virtfn.dev/whole", driver=driver, require_link=True)
        return a_policy(count=None, pools=(), whole=whole)

    served = published(an_inventory(own), asked("kernel"))
    assert reasons(served) == {None}
    assert published(an_inventory(own), asked("vfio-pci"), served, own.address) == served
    down = an_inventory(replace(own, lacks=(part,)))
    assert reasons(published(down, asked("vfio-pci"), served, own.address)) == {Reason.NOT_USABLE}
