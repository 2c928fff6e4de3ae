"""What counts as verified, and what a boot makes of it: only VFs, only of the same cards, and nothing is disturbed."""

from dataclasses import replace
from itertools import permutations

import pytest
from inventories import IGB, a_pf, a_plain, a_policy, an_inventory, pf_address

from virtfn_host.core.turn.kept import Boot, at_boot, merged, verified
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest, WholeRequest
from virtfn_host.core.values.kept import EMPTY, KeptCard, KeptConfig
from virtfn_host.core.values.model import Function, InUse, Inventory, Lasting, LinkRequest, Pf
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Bind, LoadModule, SetNumVfs, Unbind

FREE = InUse(holders=())


def vfs(count: int | None = 2, link: LinkRequest | None = None, *devices: DeviceMatcher) -> PolicyConfig:
    pool = PoolRequest(resource_name="virtfn.dev/fast", indexes=None, driver="vfio-pci", link=link)
    return a_policy(count=count, devices=devices or (IGB,), pools=(pool,))


def card(number: int, device: str = "10c9") -> KeptCard:
    return KeptCard(address=pf_address(number), vendor="8086", device=device)


def kept(*numbers: int, policy: PolicyConfig | None = None) -> KeptConfig:
    return KeptConfig(config=NodeConfig(policies=(policy or vfs(),)), cards=tuple(map(card, numbers)))


def boot(config: KeptConfig, inventory: Inventory) -> Boot:
    return at_boot(config, inventory, (), FREE)


def left(found: Boot) -> list[tuple[str, Reason]]:
    return [(why.device, why.reason) for why in found.left]


def seen(policy: PolicyConfig, *pfs: Pf) -> KeptConfig:
    """What an agent would have kept of this machine."""
    inventory, config = an_inventory(*pfs), NodeConfig(policies=(policy,))
    desired = resolve(config, inventory, ()).desired
    return verified(config, desired, verify(desired, inventory), inventory)


# --- what counts as verified -----------------------------------------------------------------------------------------


def test_a_pf_counts_when_verify_says_nothing_of_it_or_its_vfs() -> None:
    made, missing, wrong = a_pf(0, 2), a_pf(1, 0), a_pf(2, 2, driver="igbvf")
    assert seen(vfs(), made, missing, wrong).cards == (card(0),)


@pytest.mark.parametrize(
    "policy",
    [
        vfs(None),  # another program makes the VFs
        a_policy(count=0, devices=(IGB,), pools=()),
        vfs(2, None, DeviceMatcher(vendor="15b3")),
        vfs(9),  # more than the card has: refused
    ],
)
def test_a_pf_without_vfs_of_ours_does_not_count(policy: PolicyConfig) -> None:
    assert seen(policy, a_pf(0, 2)).cards == ()


def test_under_the_same_config_a_pf_stays_whatever_a_look_shows() -> None:
    assert merged(kept(0, 1), kept(1, 2)) == kept(0, 1, 2)
    assert merged(kept(0), kept()) == kept(0)
    assert merged(EMPTY, kept(0)) == kept(0)


def test_another_config_begins_anew() -> None:
    other = replace(kept(1), config=NodeConfig(policies=(vfs(3),)))
    assert merged(kept(0), other) == other
    assert merged(kept(0), EMPTY) == EMPTY


def test_another_card_takes_the_place_of_the_one_at_its_address() -> None:
    newer = replace(kept(), cards=(card(0, "1572"),))
    assert merged(kept(0), newer) == newer


# --- the boot --------------------------------------------------------------------------------------------------------


def test_vfs_are_made_and_bound_again() -> None:
    found = boot(kept(0, 1), an_inventory(a_pf(0), a_pf(1)))
    assert [step.value for step in found.plan.steps if isinstance(step, SetNumVfs)] == [2, 2]
    assert sum(isinstance(step, Bind) for step in found.plan.steps) == 4
    assert (found.left, found.early) == ((), False)


def test_what_is_there_already_needs_nothing() -> None:
    found = boot(kept(0), an_inventory(a_pf(0, 2)))
    assert (found.plan.steps, found.left) == ((), ())


def test_vfs_that_are_there_without_a_driver_are_bound() -> None:
    found = boot(kept(0), an_inventory(a_pf(0, 2, driver=None)))
    assert sum(isinstance(step, Bind) for step in found.plan.steps) == 2
    assert not any(isinstance(step, SetNumVfs) for step in found.plan.steps)


@pytest.mark.parametrize(("there", "driver"), [(3, "vfio-pci"), (1, None), (2, "igbvf")])
def test_vfs_of_another_program_are_left_alone_and_the_other_pf_is_done(there: int, driver: str | None) -> None:
    found = boot(kept(0, 1), an_inventory(a_pf(0, there, driver=driver), a_pf(1)))
    assert {part.pf for part in found.plan.pfs} == {pf_address(1)}
    assert left(found) == [(str(pf_address(0)), Reason.DRIFTED)]
    assert "left to the agent" in found.left[0].message
    assert not any(isinstance(step, Unbind) for step in found.plan.steps)


@pytest.mark.parametrize("there", [(1, 2), (0, 1), (2,), ()])
def test_a_card_that_is_missing_is_told_and_may_come(there: tuple[int, ...]) -> None:
    found = boot(kept(0, 1, 2), an_inventory(*map(a_pf, there)))
    assert left(found) == [(str(pf_address(n)), Reason.DEVICE_GONE) for n in range(3) if n not in there]
    assert found.early
    assert {part.pf for part in found.plan.pfs} == set(map(pf_address, there))


@pytest.mark.parametrize(
    "other", [a_pf(0, device="1572"), a_pf(0, vendor="15b3", device="101d"), a_plain(0, device="10d3")]
)
def test_another_card_at_the_address_is_left_alone_and_not_waited_for(other: Function) -> None:
    found = boot(kept(0, policy=vfs(2, None, DeviceMatcher(class_code="02"))), an_inventory(other))
    assert (found.plan.steps, found.early) == ((), False)
    assert left(found) == [(str(pf_address(0)), Reason.DEVICE_GONE)]
    assert f"is another card now ({other.vendor}:{other.device}, was 8086:10c9)" in found.left[0].message


@pytest.mark.parametrize("numbers", [(4,), (1, 5), (3, 4, 5)])
def test_a_card_at_another_address_is_another_card(numbers: tuple[int, ...]) -> None:
    found = boot(kept(0), an_inventory(*map(a_pf, numbers)))
    assert found.plan.steps == ()
    assert left(found) == [(str(pf_address(0)), Reason.DEVICE_GONE)]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_pfs_in_another_order_with_other_groups_are_each_made_as_before(order: tuple[int, ...]) -> None:
    pfs = [a_pf(n, iommu_group=50 + order[n], numa_node=order[n] % 2) for n in order]
    found = boot(replace(kept(), cards=tuple(map(card, order))), an_inventory(*pfs))
    usual = boot(kept(0, 1, 2), an_inventory(a_pf(0), a_pf(1), a_pf(2)))
    assert (sorted(map(str, found.plan.steps)), found.left) == (sorted(map(str, usual.plan.steps)), ())


@pytest.mark.parametrize(
    ("config", "pf", "reason"),
    [
        (kept(0), replace(a_pf(0), driver=None), Reason.PF_DRIVER_MISSING),
        (kept(0, policy=vfs(2, None, DeviceMatcher(netdev="ens1f0"))), a_pf(0), Reason.NO_MATCHING_DEVICE),
        (kept(0, policy=vfs(2, None, DeviceMatcher(driver="ice"))), a_pf(0), Reason.NO_MATCHING_DEVICE),
        (kept(0), a_pf(0, total_vfs=1), Reason.TOO_MANY_VFS),
    ],
)
def test_a_pf_that_cannot_make_them_yet_is_told_and_may_be_ready_soon(
    config: KeptConfig, pf: Pf, reason: Reason
) -> None:
    found = boot(config, an_inventory(pf))
    assert left(found) == [(str(pf_address(0)), reason)]
    assert (found.plan.steps, found.early) == ((), True)


@pytest.mark.parametrize("loadable", [("vfio-pci",), ("igbvf", "vfio-pci"), None])
def test_a_vfio_driver_that_is_not_loaded_yet_is_loaded(loadable: tuple[str, ...] | None) -> None:
    found = boot(kept(0), replace(an_inventory(a_pf(0)), drivers=("igb",), loadable=loadable))
    assert found.plan.steps[0] == LoadModule(pf=pf_address(0), module="vfio-pci")


def test_a_vfio_driver_that_this_kernel_does_not_have_is_told() -> None:
    found = boot(kept(0), replace(an_inventory(a_pf(0)), drivers=("igb",), loadable=("igbvf",)))
    assert found.plan.steps == ()
    assert [device for device, _ in left(found)] == [str(pf_address(0))]


def test_a_pf_that_was_not_verified_is_left_to_the_agent() -> None:
    found = boot(kept(0), an_inventory(a_pf(0), a_pf(1)))
    assert {part.pf for part in found.plan.pfs} == {pf_address(0)}
    assert found.left == ()


def test_a_whole_function_is_left_to_the_agent() -> None:
    whole = WholeRequest(resource_name="virtfn.dev/whole", driver="vfio-pci")
    policy = replace(a_policy(count=None, devices=(IGB,), pools=()), whole=whole)
    for inventory in (an_inventory(a_plain(0), a_pf(1)), an_inventory(a_pf(0), a_pf(1)), an_inventory(a_pf(0, 2))):
        for cards in ((), (card(0),), (card(0), card(1))):
            config = KeptConfig(config=NodeConfig(policies=(policy,)), cards=cards)
            assert boot(config, inventory).plan.steps == ()


@pytest.mark.parametrize("link", [LinkRequest(vlan=5), LinkRequest(mac=Lasting.STABLE), LinkRequest(max_tx_rate=100)])
def test_vfs_with_link_settings_are_made_and_left_without_driver(link: LinkRequest) -> None:
    found = boot(kept(0, policy=vfs(2, link)), an_inventory(a_pf(0)))
    assert [step.value for step in found.plan.steps if isinstance(step, SetNumVfs)] == [2]
    assert not any(isinstance(step, Bind) for step in found.plan.steps)
    assert found.left == ()
