"""What pods are offered: nothing that is not there, nothing pulled from under a holder."""

from dataclasses import replace
from typing import Any

import pytest
from inventories import a_pf, a_pod, a_policy, a_vf, an_inventory

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.pools import pools
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.choice import Choice, Prefer, Topology
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.extras import Cdi, Extras
from virtfn_host.core.values.model import InUse, Inventory, Original, Unreadable
from virtfn_host.core.values.offered import PoolSet
from virtfn_host.core.values.parts import Part
from virtfn_host.core.values.reasons import Reason

EMPTY = PoolSet(boot_id="boot-1", pools=())
PF = a_pf(0).address
SEVEN = an_inventory(a_pf(0, vfs=7))
ALL = frozenset(vf.address for vf in SEVEN.pfs[0].vfs)


def held(*indexes: int) -> InUse:
    return InUse(holders=tuple(a_pod(a_vf(0, i).address) for i in indexes))


def published(
    inventory: Inventory,
    *policies: PolicyConfig,
    in_use: InUse | None = None,
    previous: PoolSet = EMPTY,
    withdrawn: frozenset[PciAddress] = frozenset(),
    left: frozenset[PciAddress] = frozenset(),
    taken: frozenset[PciAddress] = frozenset(),
    originals: tuple[Original, ...] = (),
) -> PoolSet:
    desired = resolve(NodeConfig(policies=policies), inventory, originals).desired
    use = in_use or InUse(holders=())
    made = plan(inventory, desired, use)
    return pools(
        desired=desired,
        inventory=inventory,
        in_use=use,
        plan=made,
        previous=previous,
        withdrawn=withdrawn,
        left=left,
        taken=taken,
    )


def health(found: PoolSet, resource: str = "virtfn.dev/fast") -> dict[int, bool]:
    by_address = {a_vf(0, index).address: index for index in range(7)}
    devices = [d for pool in found.pools if pool.resource_name == resource for d in pool.devices]
    return {by_address[d.address]: d.healthy for d in devices}


def test_bound_vfs_are_offered_healthy() -> None:
    assert health(published(SEVEN, a_policy())) == dict.fromkeys(range(7), True)


def test_without_policies_there_is_no_resource() -> None:
    assert published(SEVEN).pools == ()


def test_a_vf_that_is_not_bound_is_listed_but_not_healthy() -> None:
    pf = replace(SEVEN.pfs[0], vfs=(a_vf(0, 0), *SEVEN.pfs[0].vfs[1:]))
    found = published(an_inventory(pf), a_policy())
    assert health(found)[0] is False
    assert found.pools[0].devices[0].reason == Reason.BIND_FAILED


def test_withdrawn_vfs_stay_listed_and_turn_unhealthy() -> None:
    before = published(SEVEN, a_policy())
    after = published(SEVEN, a_policy(count=3), previous=before, withdrawn=ALL)
    assert health(after) == dict.fromkeys(range(7), False)
    assert {d.reason for d in after.pools[0].devices} == {Reason.RECONFIGURING}


def test_a_blocked_resize_keeps_offering_what_was_offered() -> None:
    before = published(SEVEN, a_policy())
    after = published(SEVEN, a_policy(count=3), previous=before, in_use=held(5))
    assert health(after) == dict.fromkeys(range(7), True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"driver": "vfio-pci", "vfio_bound": True}, Reason.NOT_USABLE),
        ({"vfs": tuple(replace(vf, lacks=(Part.NODE,)) for vf in SEVEN.pfs[0].vfs)}, Reason.NOT_USABLE),
        ({"vfs": tuple(replace(vf, driver=None, vfio_bound=False) for vf in SEVEN.pfs[0].vfs)}, Reason.BIND_FAILED),
    ],
    ids=["token", "node", "driver"],
)
def test_a_kept_offer_is_healthy_only_while_a_pod_could_use_it(change: dict[str, Any], reason: Reason) -> None:
    """The policy is refused now (too many VFs), so everything stays as it was."""
    original = Original(address=PF, vendor="8086", device="10c9", num_vfs=0, autoprobe=True, vfs=())
    before = published(SEVEN, a_policy())
    moved = an_inventory(replace(SEVEN.pfs[0], **change))
    after = published(moved, a_policy(count=8), previous=before, originals=(original,))
    assert health(after) == dict.fromkeys(range(7), False)
    assert {device.reason for pool in after.pools for device in pool.devices} == {reason}
    assert health(published(SEVEN, a_policy(count=8), previous=before, originals=(original,)))[0]


def test_after_the_policy_is_gone_only_held_vfs_stay_and_no_new_pod_gets_them() -> None:
    before = published(SEVEN, a_policy())
    original = Original(address=SEVEN.pfs[0].address, vendor="8086", device="10c9", num_vfs=0, autoprobe=True, vfs=())
    at_once = published(SEVEN, previous=before, in_use=held(5), originals=(original,))
    assert health(at_once) == dict.fromkeys(range(7), False)
    after = published(SEVEN, previous=at_once, in_use=held(5), originals=(original,), left=ALL)
    assert health(after) == {5: False}


def test_a_held_vf_changes_pool_only_when_it_is_free() -> None:
    before = published(SEVEN, a_policy("fast"))
    pool = PoolRequest(resource_name="virtfn.dev/other", indexes=None, driver="vfio-pci")
    moved = a_policy("fast", pools=(pool,))
    during = published(SEVEN, moved, previous=before, in_use=held(2), left=ALL)
    assert health(during) == {2: False}
    assert 2 not in health(during, "virtfn.dev/other")
    afterwards = published(SEVEN, moved, previous=during, left=ALL)
    assert health(afterwards) == {}
    assert health(afterwards, "virtfn.dev/other")[2] is True


def test_a_free_vf_changes_pool_only_when_it_was_seen_not_to_be_on_offer() -> None:
    before = published(SEVEN, a_policy("fast"))
    pool = PoolRequest(resource_name="virtfn.dev/other", indexes=None, driver="vfio-pci")
    moved = a_policy("fast", pools=(pool,))
    during = published(SEVEN, moved, previous=before)
    assert (health(during), health(during, "virtfn.dev/other")) == (dict.fromkeys(range(7), False), {})
    assert {d.reason for d in during.pools[0].devices} == {Reason.RECONFIGURING}
    assert published(SEVEN, moved, previous=during) == during
    afterwards = published(SEVEN, moved, previous=during, left=ALL - {a_vf(0, 3).address})
    assert health(afterwards) == {3: False}
    assert health(afterwards, "virtfn.dev/other") == dict.fromkeys((0, 1, 2, 4, 5, 6), True)


def test_pools_of_another_boot_count_for_nothing() -> None:
    before = replace(published(SEVEN, a_policy()), boot_id="boot-0")
    assert published(SEVEN, previous=before, in_use=held(5)).pools == ()


def test_a_second_policy_leaves_the_first_pool_byte_identical() -> None:
    machine = an_inventory(a_pf(0, vfs=7), a_pf(1, vfs=7))
    first = a_policy("fast", pools=(PoolRequest(resource_name="virtfn.dev/fast", indexes=(0, 1), driver="vfio-pci"),))
    alone = published(machine, first)
    both = published(machine, first, a_policy("second"), previous=alone)
    assert alone.pools[0] == both.pools[0]


def test_a_pf_that_waits_for_its_turn_goes_on_offering_what_it_did() -> None:
    """Three VFs instead of seven are wanted and nobody is in the way, but another node goes first."""
    before = published(SEVEN, a_policy())
    assert published(SEVEN, a_policy(count=3), previous=before) == before


def test_an_edit_that_is_refused_takes_nothing_away() -> None:
    before = published(SEVEN, a_policy())
    originals = (Original(address=PF, vendor="8086", device="10c9", num_vfs=0, autoprobe=True, vfs=()),)
    assert published(SEVEN, a_policy(count=8), previous=before, originals=originals) == before


def test_what_is_out_of_sight_stays_listed_and_no_new_pod_gets_it() -> None:
    """Its PF does not read: a pod may have it all the same."""
    before = published(SEVEN, a_policy())
    lost = Unreadable(device=PF, path="vendor", error="Input/output error")
    blind = published(an_inventory(unreadable=(lost,)), a_policy(), previous=before)
    (pool,) = blind.pools
    assert [(device.healthy, device.reason) for device in pool.devices] == [(False, Reason.UNREADABLE)] * 7
    assert published(an_inventory(), a_policy(), previous=before).pools == ()


def test_a_pool_says_how_its_functions_are_chosen_and_of_which_pf_they_are() -> None:
    spread = Choice(prefer=Prefer.SPREAD, topology=Topology.NONE)
    asked = a_policy(pools=tuple(replace(pool, choice=spread) for pool in a_policy().pools))
    (pool,) = published(SEVEN, asked).pools
    assert pool.choice == spread
    assert {device.pf for device in pool.devices} == {PF}


def test_a_pool_says_what_its_containers_get() -> None:
    extras = Extras(vhost_net=True, cdi=Cdi(gid=107, mode="0660"))
    asked = a_policy(pools=tuple(replace(pool, extras=extras) for pool in a_policy().pools))
    (pool,) = published(SEVEN, asked).pools
    assert pool.extras == extras
