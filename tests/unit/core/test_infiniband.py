"""InfiniBand is not Ethernet: GUIDs instead of a MAC, each only where it is asked for, and nothing else beside it."""

from dataclasses import replace
from typing import Any

import pytest
from inventories import a_link_policy, a_linked_pf, a_pf, an_inventory, carried_out

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.desired import NodeConfig
from virtfn_host.core.values.link import on_infiniband
from virtfn_host.core.values.mac import ZERO_GUID, ZERO_MAC, is_infiniband, stable_guid
from virtfn_host.core.values.model import InUse, Inventory, Lasting, Pf, VfLink
from virtfn_host.core.values.names import guid, mac_address
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Plan, SetLink, describe

PORT = "00:00:10:87:fe:80:00:00:00:00:00:00:50:6b:4b:03:00:28:50:28"
"""Hardware address of an IPoIB netdev: queue pair, then the GID, whose second half is the port's GUID."""

NEW = VfLink(mac=ZERO_MAC, vlan=0, vlan_qos=0, node_guid=ZERO_GUID, port_guid=ZERO_GUID)
"""What mlx5's IPoIB shows of a VF to which nothing was given (mlx5_ib_get_vf_config, mlx5_ib_get_vf_guid)."""

STABLE = Lasting.STABLE


def an_ib_pf(vfs: int = 0, link: VfLink = NEW, **fields: object) -> Pf:
    return a_linked_pf(0, vfs, link, **{"class_code": "020700", "mac": PORT, "autoprobe": False, **fields})


def planned(inventory: Inventory, **link: Any) -> Plan:
    desired = resolve(NodeConfig(policies=(a_link_policy(count=2, **link),)), inventory, ()).desired
    return plan(inventory, desired, InUse(holders=()))


def settings(made: Plan) -> list[str]:
    return [describe(step).partition(": set ")[2] for step in made.steps if isinstance(step, SetLink)]


def refusals(pf: Pf, **link: Any) -> list[tuple[Reason, str]]:
    config = NodeConfig(policies=(a_link_policy(count=2, **link),))
    return [(one.reason, one.message) for one in resolve(config, an_inventory(pf), ()).rejected]


# --- nothing that was not asked for ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "steps"),
    [({}, []), ({"trust": True}, ["trust on"]), ({"link_state": "auto"}, ["state auto"]), ({"vlan": 0}, [])],
)
def test_a_setting_brings_no_other(link: dict[str, Any], steps: list[str]) -> None:
    assert sorted(set(settings(planned(an_inventory(an_ib_pf(2)), **link)))) == steps


@pytest.mark.parametrize("link", [{}, {"trust": True}, {"vlan": 5}, {"max_tx_rate": 10}])
def test_nor_does_it_on_ethernet(link: dict[str, Any]) -> None:
    assert not [text for text in settings(planned(an_inventory(a_linked_pf(0)), **link)) if "mac" in text]


# --- GUIDs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", [{"guid": STABLE}, {"guid": STABLE, "mac": STABLE}])
def test_guids_are_set_where_they_are_asked_for_and_no_mac(link: dict[str, Any]) -> None:
    inventory = an_inventory(an_ib_pf(2))
    made = planned(inventory, **link)
    first, second = stable_guid(PORT, 0), stable_guid(PORT, 1)
    assert settings(made) == [
        f"node_guid {first}",
        f"port_guid {first}",
        f"node_guid {second}",
        f"port_guid {second}",
    ]
    after = carried_out(made, inventory)
    assert planned(after, **link).steps == ()


def test_both_asked_for_on_ethernet_is_a_mac_and_no_guid() -> None:
    made = planned(an_inventory(a_linked_pf(0, 2, autoprobe=False)), guid=STABLE, mac=STABLE)
    assert {text.split()[0] for text in settings(made)} == {"mac"}


def test_guids_that_an_administrator_set_are_kept() -> None:
    own = "00:11:22:33:44:55:66:77"
    assert settings(planned(an_inventory(an_ib_pf(2, replace(NEW, node_guid=own, port_guid=own))), guid=STABLE)) == []
    made = planned(an_inventory(an_ib_pf(2, replace(NEW, node_guid=own))), guid=STABLE)
    assert {text.split()[0] for text in settings(made)} == {"port_guid"}


def test_a_vf_without_its_guid_is_a_mismatch() -> None:
    inventory = an_inventory(an_ib_pf(2))
    desired = resolve(NodeConfig(policies=(a_link_policy(count=2, guid=STABLE),)), inventory, ()).desired
    assert {mismatch.reason for mismatch in verify(desired, inventory)} >= {Reason.DRIFTED}


def test_guids_are_set_before_the_vf_gets_its_driver() -> None:
    kinds = [type(step).__name__ for step in planned(an_inventory(an_ib_pf()), guid=STABLE).steps]
    assert kinds.index("SetLink") < kinds.index("Bind")


# --- what a network does not have is said so -------------------------------------------------------------------------


def test_a_mac_on_infiniband_is_refused_with_the_way_out() -> None:
    ((reason, text),) = refusals(an_ib_pf(), mac=STABLE)
    assert reason is Reason.LINK_SETTING_REFUSED
    assert "InfiniBand" in text
    assert "link.guid" in text


def test_a_guid_on_ethernet_is_refused_with_the_way_out() -> None:
    ((reason, text),) = refusals(a_linked_pf(0), guid=STABLE)
    assert reason is Reason.LINK_SETTING_REFUSED
    assert "Ethernet" in text
    assert "link.mac" in text


@pytest.mark.parametrize("link", [{"mac": STABLE, "guid": STABLE}, {"trust": True}, {}])
def test_all_else_is_for_both(link: dict[str, Any]) -> None:
    assert refusals(an_ib_pf(), **link) == refusals(a_linked_pf(0), **link) == []


# --- which network ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "infiniband"),
    [
        ({"class_code": "020700"}, True),
        ({"class_code": "020000"}, False),
        ({"class_code": "028000", "mac": PORT}, True),
        ({"class_code": "028000", "mac": "52:54:00:00:00:01"}, False),
        ({"class_code": "020700", "mac": "52:54:00:00:00:01"}, False),
    ],
)
def test_the_netdev_says_which_network_it_is_and_else_the_class(fields: dict[str, Any], infiniband: bool) -> None:
    assert on_infiniband(a_pf(0, **fields)) is infiniband


def test_a_made_guid_is_locally_administered_different_and_the_same_after_a_reboot() -> None:
    made = [stable_guid(PORT, index) for index in range(256)]
    assert len(set(made)) == 256
    assert all(int(one[:2], 16) & 0b11 == 0b10 and guid(one) == one for one in made)
    other_queue_pair = "00:00:02:11" + PORT[11:]
    assert stable_guid(other_queue_pair.upper(), 3) == made[3]
    assert stable_guid(PORT[:-2] + "29", 3) != made[3]


def test_the_guids_that_were_made_once_are_made_for_ever() -> None:
    """A change of the rule would give every VF another GUID: whoever changes this line decides that."""
    assert stable_guid(PORT, 3) == "96:e2:6d:33:97:fd:0a:c8"


@pytest.mark.parametrize("text", ["", "52:54:00:00:00:01", "50:6b:4b:03:00:28:50", "50:6B:4b:03:00:28:50:28", "x" * 23])
def test_what_is_no_guid_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a GUID"):
        guid(text)


def test_a_hardware_address_tells_infiniband_from_ethernet() -> None:
    assert is_infiniband(PORT)
    assert not is_infiniband(mac_address("52:54:00:00:00:01"))
