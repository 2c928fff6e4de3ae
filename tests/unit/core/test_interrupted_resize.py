"""A MAC or GUID that an administrator set is kept through a resize that is interrupted: the journal has it."""

from dataclasses import replace

import pytest
from inventories import NEW_LINK, a_link_policy, a_linked_pf, a_vf, an_inventory, carried_out, pf_address

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.desired import NodeConfig
from virtfn_host.core.values.mac import ZERO_GUID, ZERO_MAC, stable_guid, stable_mac
from virtfn_host.core.values.model import InUse, Inventory, Lasting, Original, OriginalVf, Pf, VfLink
from virtfn_host.core.values.steps import Plan, SetLink

SET = "02:11:22:33:44:55"
GUID, OTHER_GUID = "00:11:22:33:44:55:66:77", "00:11:22:33:44:55:66:78"
PORT = "80:00:02:08:fe:80:00:00:00:00:00:00:52:54:00:00:00:00:00:01"
"""Hardware address of an InfiniBand netdev."""


def noted(*links: VfLink | None) -> tuple[Original, ...]:
    vfs = (OriginalVf(index=n, driver="igbvf", driver_override=None, link=link) for n, link in enumerate(links))
    card = {"address": pf_address(0), "vendor": "8086", "device": "10c9"}
    return (Original(**card, num_vfs=len(links), autoprobe=True, vfs=tuple(vfs)),)  # type: ignore[arg-type]


def planned(pf: Pf, originals: tuple[Original, ...], **link: Lasting) -> tuple[Plan, Inventory]:
    machine = an_inventory(pf)
    policies = (a_link_policy(count=5, **(link or {"mac": Lasting.STABLE})),)
    desired = resolve(NodeConfig(policies=policies), machine, originals).desired
    return plan(machine, desired, InUse(holders=())), machine


def macs(made: Plan) -> list[str | None]:
    return [step.value.mac for step in made.steps if isinstance(step, SetLink) and step.value.mac is not None]


def left(vfs: int, shown: str | None, driver: str | None = None) -> Pf:
    """A PF as an interrupted resize may leave it."""
    pf = a_linked_pf(0)
    links = [replace(NEW_LINK, mac=shown)] * vfs
    return replace(pf, vfs=tuple(replace(a_vf(0, n, driver), link=link) for n, link in enumerate(links)))


INTERRUPTED = [
    pytest.param(left(0, None), id="before the second number"),
    pytest.param(left(5, ZERO_MAC), id="before the settings"),
    pytest.param(left(2, ZERO_MAC), id="fewer VFs than asked"),
    pytest.param(left(5, ZERO_MAC, "vfio-pci"), id="a setting was refused"),
    pytest.param(left(5, None), id="the driver shows none"),
]


@pytest.mark.parametrize("pf", INTERRUPTED)
def test_the_addresses_that_were_set_are_set_again(pf: Pf) -> None:
    links = [replace(NEW_LINK, mac=mac) for mac in (SET, ZERO_MAC, "02:11:22:33:44:56", ZERO_MAC)]
    made, machine = planned(pf, noted(*links))
    assert pf.mac is not None
    own = [stable_mac(pf.mac, index) for index in range(5)]
    assert macs(made) == [SET, own[1], "02:11:22:33:44:56", own[3], own[4]]
    after = carried_out(made, machine).pfs[0]
    assert macs(planned(after, noted(*links))[0]) == []


@pytest.mark.parametrize("shown", ["02:aa:aa:aa:aa:aa", "02:bb:bb:bb:bb:bb"])
def test_an_address_that_was_set_later_wins(shown: str) -> None:
    made, _ = planned(left(4, shown), noted(*[replace(NEW_LINK, mac=SET)] * 4))
    assert macs(made)[:4] == [shown] * 4


@pytest.mark.parametrize("originals", [(), noted(None, None), noted(NEW_LINK, VfLink())])
def test_where_none_was_set_or_noted_one_is_made(originals: tuple[Original, ...]) -> None:
    pf = left(0, None)
    assert pf.mac is not None
    assert macs(planned(pf, originals)[0]) == [stable_mac(pf.mac, index) for index in range(5)]


def test_the_journal_does_not_set_anew_what_a_network_driver_marks_as_made_up() -> None:
    """igbvf keeps that mark for an address that was set, so virtfn would set it for ever."""
    pf = left(5, ZERO_MAC, "igbvf")
    pf = replace(pf, vfs=tuple(replace(vf, netdevs=("eth9",)) for vf in pf.vfs))
    assert SET not in macs(planned(pf, noted(*[replace(NEW_LINK, mac=SET)] * 4))[0])


@pytest.mark.parametrize("vfs", [0, 5])
def test_so_are_guids(vfs: int) -> None:
    new = VfLink(node_guid=ZERO_GUID, port_guid=ZERO_GUID)
    pf = replace(left(vfs, None), mac=PORT)
    pf = replace(pf, vfs=tuple(replace(vf, link=new) for vf in pf.vfs))
    before = replace(new, node_guid=GUID, port_guid=OTHER_GUID)
    made, _ = planned(pf, noted(before, replace(before, port_guid=ZERO_GUID)), guid=Lasting.STABLE)
    values = [step.value for step in made.steps if isinstance(step, SetLink)]
    nodes = [value.node_guid for value in values if value.node_guid is not None]
    ports = [value.port_guid for value in values if value.port_guid is not None]
    own = [stable_guid(PORT, index) for index in range(5)]
    assert nodes == [GUID, GUID, *own[2:]]
    assert ports == [OTHER_GUID, *own[1:]]
