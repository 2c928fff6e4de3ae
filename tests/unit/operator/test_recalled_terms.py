"""A restarted agent takes what was asked of a function from its claim; without one it may be unknown."""

from dataclasses import replace
from typing import Any

import pytest
from inventories import a_pf, a_policy, an_inventory

from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.desired import NodeConfig, PoolRequest
from virtfn_host.core.values.model import LinkRequest, Original, VfLink
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet, offer
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.agent.recall import unsure

PF = a_pf(0, vfs=7)
POOL = PoolRequest(resource_name="virtfn.dev/fast", indexes=None, driver="vfio-pci")
BARE = Original(address=PF.address, vendor="8086", device="10c9", num_vfs=0, autoprobe=True, vfs=())
TERMS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"require_link": True}, {}, {"require_link": True}),
    ({"link": LinkRequest(vlan=100)}, {}, {"link": VfLink(vlan=100, vlan_qos=0)}),
    ({}, {"mtu": 9000}, {"mtu": 9000}),
]


def after_a_restart(count: int, of_pool: dict[str, Any], of_policy: dict[str, Any]) -> set[PoolDevice]:
    """The devices of a recalled pool, all made alike."""
    inventory = an_inventory(PF)
    pool = DevicePool(resource_name=POOL.resource_name, devices=tuple(offer(vf, "vfio-pci") for vf in PF.vfs))
    config = NodeConfig(policies=(a_policy(count=count, pools=(replace(POOL, **of_pool),), **of_policy),))
    desired = resolve(config, inventory, (BARE,)).desired
    found = unsure(PoolSet(boot_id="boot-1", pools=(pool,)), config, desired, inventory)
    return {replace(device, address=PF.address) for pool in found.pools for device in pool.devices}


@pytest.mark.parametrize(("of_pool", "of_policy", "asked"), TERMS, ids=["link", "VLAN", "MTU"])
def test_what_a_claim_asks_for_counts(
    of_pool: dict[str, Any], of_policy: dict[str, Any], asked: dict[str, Any]
) -> None:
    (device,) = after_a_restart(7, of_pool, of_policy)
    assert device.reason is Reason.UNREADABLE  # the next look decides
    assert device == replace(device, **asked)


@pytest.mark.parametrize(("of_pool", "of_policy", "asked"), TERMS, ids=["link", "VLAN", "MTU"])
def test_of_a_refused_policy_it_is_unknown_which_of_its_terms_held(
    of_pool: dict[str, Any], of_policy: dict[str, Any], asked: dict[str, Any]
) -> None:
    (device,) = after_a_restart(8, of_pool, of_policy)
    assert device.reason is Reason.POOL_FILE_UNREADABLE


def test_a_refused_policy_that_asks_for_none_of_them_keeps_its_offer() -> None:
    (device,) = after_a_restart(8, {}, {})
    assert device.reason is Reason.UNREADABLE
