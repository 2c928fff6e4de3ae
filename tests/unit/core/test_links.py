"""Link settings in the pure core: what is wanted, the steps to it, and what holds them up."""

from dataclasses import replace
from typing import Any

import pytest
from documents import of_version_1
from hypothesis import given
from hypothesis import strategies as st
from inventories import NEW_LINK, a_link_policy, a_linked_pf, a_pf, a_pod, an_inventory, carried_out, pf_address

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.pools import pools
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.desired import Desired, NodeConfig, PolicyConfig
from virtfn_host.core.values.envelope import loads
from virtfn_host.core.values.link import groups_of
from virtfn_host.core.values.mac import ZERO_GUID, ZERO_MAC, stable_mac
from virtfn_host.core.values.model import InUse, Inventory, Lasting, LinkState, Original, OriginalVf, VfLink
from virtfn_host.core.values.offered import PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Bind, Forget, Plan, SetLink, Settle, Unbind, describe

FREE = InUse(holders=())
GUID = "02:00:00:00:00:00:00:08"
MACS = st.integers(0, 2**48 - 1).map(lambda number: ":".join(f"{number:012x}"[n : n + 2] for n in range(0, 12, 2)))
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "mac": st.just(Lasting.STABLE),
        "vlan": st.integers(0, 4094),
        "trust": st.booleans(),
        "spoof_check": st.booleans(),
        "min_tx_rate": st.integers(0, 10),
        "max_tx_rate": st.integers(10, 1000),
        "link_state": st.sampled_from(LinkState),
    },
)


def desired(inventory: Inventory, *policies: PolicyConfig, originals: tuple[Original, ...] = ()) -> Desired:
    return resolve(NodeConfig(policies=policies), inventory, originals).desired


def planned(inventory: Inventory, *policies: PolicyConfig, in_use: InUse = FREE) -> Plan:
    return plan(inventory, desired(inventory, *policies), in_use)


def settings(made: Plan) -> list[str]:
    return [describe(step) for step in made.steps if isinstance(step, SetLink)]


# --- the MAC ---------------------------------------------------------------------------------------------------------


@given(MACS, st.integers(0, 2047))
def test_a_made_mac_is_unicast_locally_administered_and_the_same_again(pf: str, index: int) -> None:
    made = stable_mac(pf, index)
    assert int(made[:2], 16) & 0b11 == 0b10
    assert made == stable_mac(pf.upper(), index)


@given(st.lists(MACS, min_size=1, max_size=8, unique=True))
def test_vfs_of_one_machine_have_different_macs(pfs: list[str]) -> None:
    made = [stable_mac(pf, index) for pf in pfs for index in range(256)]
    assert len(set(made)) == len(made)


def test_the_macs_that_were_made_once_are_made_for_ever() -> None:
    """A change of the rule would give every guest another address: whoever changes this line decides that."""
    assert stable_mac("52:54:00:12:34:56", 3) == "82:e9:8d:67:c8:7e"


# --- plan ------------------------------------------------------------------------------------------------------------


@given(REQUESTS, st.integers(0, 7), st.integers(0, 7))
def test_what_is_planned_leads_to_what_is_wanted_and_then_to_nothing(link: dict[str, Any], now: int, then: int) -> None:
    inventory = an_inventory(a_linked_pf(0, now))
    policy = a_link_policy(count=then, **link)
    after = carried_out(planned(inventory, policy), inventory)
    assert planned(after, policy).steps == ()
    assert verify(desired(after, policy), after) == ()


def test_settings_of_new_vfs_come_after_settle_and_before_the_bind_but_for_rates() -> None:
    made = planned(an_inventory(a_linked_pf(0)), a_link_policy(count=1, vlan=5, max_tx_rate=10))
    kinds = [type(step) for step in made.steps]
    texts = [describe(step) for step in made.steps]
    assert kinds.index(Settle) < texts.index("VF 0 of 0000:01:00.0: set vlan 5 qos 0") < kinds.index(Bind)
    assert kinds.index(Bind) < texts.index("VF 0 of 0000:01:00.0: set max_tx_rate 10")


def test_a_setting_of_an_existing_vf_touches_no_driver_and_disturbs_nobody() -> None:
    made = planned(an_inventory(a_linked_pf(0, 2, autoprobe=False)), a_link_policy(count=2, trust=True))
    assert made.displaces == ()
    assert {type(step) for step in made.steps} == {SetLink}


def test_a_mac_is_set_before_the_vf_changes_its_driver() -> None:
    pf = a_linked_pf(0, 1, autoprobe=False)
    pf = replace(pf, vfs=tuple(replace(vf, driver="igbvf", vfio_bound=False, driver_override=None) for vf in pf.vfs))
    kinds = [type(step) for step in planned(an_inventory(pf), a_link_policy(count=1, mac=Lasting.STABLE)).steps]
    assert kinds[:2] == [SetLink, Unbind]


def test_an_address_that_is_set_is_kept_also_through_a_resize() -> None:
    mac = "02:aa:aa:aa:aa:aa"
    inventory = an_inventory(a_linked_pf(0, 1, link=replace(NEW_LINK, mac=mac)))
    made = planned(inventory, a_link_policy(count=2, mac=Lasting.STABLE))
    assert settings(made) == [
        f"VF 0 of 0000:01:00.0: set mac {mac}",
        f"VF 1 of 0000:01:00.0: set mac {stable_mac('52:54:00:00:00:00', 1)}",
    ]


def test_without_link_nothing_is_asked_of_it() -> None:
    policy = a_link_policy(count=2)
    policy = replace(policy, pools=tuple(replace(pool, link=None) for pool in policy.pools))
    assert settings(planned(an_inventory(a_linked_pf(0)), policy)) == []


def test_a_held_vf_keeps_its_link_and_its_neighbours_get_theirs() -> None:
    inventory = an_inventory(a_linked_pf(0, 2, autoprobe=False, link=replace(NEW_LINK, mac="02:00:00:00:00:01")))
    held = inventory.pfs[0].vfs[0].address
    made = planned(inventory, a_link_policy(count=2, vlan=5), in_use=InUse(holders=(a_pod(held),)))
    assert settings(made) == ["VF 1 of 0000:01:00.0 (0000:01:10.2): set vlan 5 qos 0"]
    (blocked,) = made.blocked
    assert (blocked.device, blocked.reason) == (held, Reason.VFS_IN_USE)
    assert blocked.message == f"{held}: cannot set vlan 5 qos 0 while pod a/b holds {held}"
    assert (blocked.only_links, blocked.displaces) == (True, ())


def test_a_rate_waits_for_a_pf_that_is_down_and_says_how_to_end_that() -> None:
    made = planned(an_inventory(a_linked_pf(0, netdev_up=False)), a_link_policy(count=2, vlan=5, max_tx_rate=10))
    assert not any("rate" in text for text in settings(made))
    assert sum(isinstance(step, Bind) for step in made.steps) == 2
    (blocked,) = made.blocked
    assert blocked.reason is Reason.LINK_SETTING_REFUSED
    assert blocked.message.endswith("cannot set the rate of VF 0-1 while eth0 is down; run `ip link set eth0 up`")


def test_a_pf_without_a_netdev_here_holds_up_link_settings_only() -> None:
    made = planned(an_inventory(a_pf(0, netdevs=())), a_link_policy(count=1, vlan=5))
    assert sum(isinstance(step, Bind) for step in made.steps) == 1
    assert [(b.reason, b.only_links) for b in made.blocked] == [(Reason.LINK_SETTING_REFUSED, True)]


def test_a_device_that_is_no_network_device_has_no_link() -> None:
    inventory = an_inventory(a_pf(0, class_code="010802"))
    (rejected,) = resolve(NodeConfig(policies=(a_link_policy(vlan=5),)), inventory, ()).rejected
    assert rejected.reason is Reason.LINK_SETTING_REFUSED
    assert "not a network device" in rejected.message


# --- given back ------------------------------------------------------------------------------------------------------


def an_original(*links: VfLink | None) -> Original:
    vfs = tuple(
        OriginalVf(index=n, driver="vfio-pci", driver_override="vfio-pci", link=link) for n, link in enumerate(links)
    )
    return Original(address=pf_address(0), vendor="8086", device="10c9", num_vfs=len(links), autoprobe=False, vfs=vfs)


def test_what_was_set_before_the_first_touch_is_set_again_and_then_forgotten() -> None:
    before = replace(NEW_LINK, vlan=33, mac=ZERO_MAC)
    inventory = an_inventory(a_linked_pf(0, 1, autoprobe=False, link=replace(before, vlan=5, mac="02:00:00:00:00:01")))
    made = plan(inventory, desired(inventory, originals=(an_original(before),)), FREE)
    assert [type(step) for step in made.steps] == [SetLink, SetLink, Forget]
    assert settings(made)[0].endswith(f"set mac {ZERO_MAC}")


def test_a_vf_whose_settings_were_never_noted_keeps_them() -> None:
    inventory = an_inventory(a_linked_pf(0, 1, autoprobe=False, link=replace(NEW_LINK, vlan=5)))
    made = plan(inventory, desired(inventory, originals=(an_original(None),)), FREE)
    assert [type(step) for step in made.steps] == [Forget]


@pytest.mark.parametrize("group", list(groups_of(replace(NEW_LINK, node_guid=GUID, port_guid=GUID))))
@pytest.mark.parametrize("ours", [False, True])
def test_where_virtfn_set_no_number_only_the_settings_that_it_set_are_given_back(group: VfLink, ours: bool) -> None:
    entry = an_original(replace(NEW_LINK, node_guid=GUID, port_guid=GUID))
    noted = tuple(replace(vf, link_before=group if ours else None) for vf in entry.vfs)
    entry = replace(entry, vfs=noted, number_untouched=True)
    others = VfLink(
        vlan=5,
        vlan_qos=1,
        trust=True,
        spoof_check=False,
        min_tx_rate=1,
        max_tx_rate=7,
        mac="02:00:00:00:00:01",
        node_guid=ZERO_GUID,
        port_guid=ZERO_GUID,
        link_state=LinkState.DISABLE,
    )
    inventory = an_inventory(a_linked_pf(0, 1, autoprobe=False, link=others))
    wanted = desired(inventory, originals=(entry,))
    made = plan(inventory, wanted, FREE)
    assert [step.value for step in made.steps if isinstance(step, SetLink)] == ([group] if ours else [])
    assert isinstance(made.steps[-1], Forget)
    assert bool(verify(wanted, inventory)) is ours


def test_a_pf_that_is_given_back_is_not_forgotten_while_a_setting_waits() -> None:
    inventory = an_inventory(a_linked_pf(0, 1, autoprobe=False, link=replace(NEW_LINK, vlan=5)))
    held = a_pod(inventory.pfs[0].vfs[0].address)
    made = plan(inventory, desired(inventory, originals=(an_original(NEW_LINK),)), InUse(holders=(held,)))
    assert made.steps == ()
    assert [blocked.reason for blocked in made.blocked] == [Reason.VFS_IN_USE]


def test_a_document_of_before_there_were_link_settings_is_read() -> None:
    original = an_original(None)
    text = of_version_1(original).replace(',"link":null', "")
    assert "link" not in text
    assert loads(Original, text) == original


# --- told ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", [replace(NEW_LINK, vlan=7), None])
def test_a_vf_without_its_settings_is_a_mismatch_and_offered_to_nobody(link: VfLink | None) -> None:
    pf = a_linked_pf(0, 1, autoprobe=False)
    policy = a_link_policy(count=1, vlan=5)
    inventory = an_inventory(replace(pf, vfs=tuple(replace(vf, link=link) for vf in pf.vfs)))
    wanted = desired(inventory, policy)
    assert [mismatch.reason for mismatch in verify(wanted, inventory)] == [Reason.DRIFTED]
    published = pools(
        desired=wanted,
        inventory=inventory,
        in_use=FREE,
        plan=planned(inventory, policy),
        previous=PoolSet(boot_id="boot-1", pools=()),
        withdrawn=frozenset(),
    )
    assert [(d.healthy, d.reason) for d in published.pools[0].devices] == [(False, Reason.LINK_SETTING_REFUSED)]
