"""A PF that waits for a change of its drivers serves pods as before; what another program rebound does not."""

from dataclasses import replace
from typing import Any

import pytest
from inventories import a_pf, a_pod, a_policy, an_inventory

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.pools import pools
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.choice import ANY, Choice, Prefer
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.extras import NOTHING, Cdi, Extras
from virtfn_host.core.values.model import InUse, Inventory, Original, OriginalVf, Unreadable
from virtfn_host.core.values.offered import PoolDevice, PoolSet
from virtfn_host.core.values.parts import Part
from virtfn_host.core.values.rdma import RDMA_CM, RdmaDevice
from virtfn_host.core.values.reasons import Reason

Asked = PolicyConfig | tuple[PolicyConfig, ...]
EMPTY = PoolSet(boot_id="boot-1", pools=())
EDITS = [("kernel", "vfio-pci"), ("vfio-pci", "kernel"), ("vfio-pci", "mlx5_vfio_pci"), ("igbvf", "vfio-pci")]


def on(driver: str, *others: str) -> Inventory:
    """A PF with seven VFs on a driver, the last ones on others."""
    bound = {"kernel": "igbvf"}.get(driver, driver)
    drivers = [bound] * (7 - len(others)) + list(others)
    pf = a_pf(0, vfs=7)
    vfs = (_bound(vf, name) for vf, name in zip(pf.vfs, drivers, strict=True))
    return an_inventory(replace(pf, vfs=tuple(vfs)))


def _bound(vf: Any, driver: str) -> Any:
    vfio = "vfio" in driver
    own = {} if vfio else {"driver_override": None, "netdevs": ("eth9",)}
    return replace(vf, driver=driver, vfio_bound=vfio, **({"driver_override": driver} if vfio else own))


def asking(driver: str, **fields: Any) -> PolicyConfig:
    pool = PoolRequest(resource_name="virtfn.dev/fast", indexes=None, driver=driver)
    return replace(a_policy(pools=(pool,)), **fields)


def published(inventory: Inventory, asked: Asked, previous: PoolSet = EMPTY, **fields: Any) -> PoolSet:
    in_use = InUse(holders=fields.pop("holders", ()))
    config = NodeConfig(policies=asked if isinstance(asked, tuple) else (asked,))
    desired = resolve(config, inventory, fields.pop("originals", ())).desired
    made = plan(inventory, desired, in_use)
    fields = {"withdrawn": frozenset(), **fields}
    return pools(desired=desired, inventory=inventory, in_use=in_use, plan=made, previous=previous, **fields)


def devices(found: PoolSet) -> dict[PciAddress, PoolDevice]:
    return {device.address: device for pool in found.pools for device in pool.devices}


def reasons(found: PoolSet) -> list[Reason | None]:
    return [device.reason for device in devices(found).values()]


@pytest.mark.parametrize(("before", "after"), EDITS)
def test_a_driver_edit_that_waits_for_its_turn_takes_nothing_away(before: str, after: str) -> None:
    machine = on(before)
    served = published(machine, asking(before))
    assert reasons(served) == [None] * 7
    assert published(machine, asking(after), served) == served
    assert published(machine, asking(after), published(machine, asking(after), served)) == served


@pytest.mark.parametrize(("before", "after"), EDITS)
def test_one_that_waits_for_a_pod_takes_nothing_away(before: str, after: str) -> None:
    machine = on(before)
    pod = a_pod(machine.pfs[0].vfs[3].address)
    served = published(machine, asking(before))
    assert published(machine, asking(after), served, holders=(pod,)) == served


@pytest.mark.parametrize(("before", "after"), EDITS)
def test_its_first_beat_withdraws_and_a_change_that_is_called_off_offers_again(before: str, after: str) -> None:
    machine = on(before)
    served = published(machine, asking(before))
    beat = published(machine, asking(after), served, withdrawn=frozenset(vf.address for vf in machine.pfs[0].vfs))
    assert reasons(beat) == [Reason.RECONFIGURING] * 7
    assert published(machine, asking(after), beat) == served


def test_one_that_becomes_usable_again_while_it_waits_is_offered_again() -> None:
    machine = on("vfio-pci")
    served = published(machine, asking("vfio-pci"))
    pf = machine.pfs[0]
    bad = an_inventory(replace(pf, vfs=tuple(replace(vf, lacks=(Part.NODE,)) for vf in pf.vfs)))
    without = published(bad, asking("kernel"), served)
    assert reasons(without) == [Reason.NOT_USABLE] * 7
    assert published(machine, asking("kernel"), without) == served


@pytest.mark.parametrize(("wanted", "other"), [("kernel", "vfio-pci"), ("vfio-pci", "igbvf"), ("vfio-pci", "pci-stub")])
@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_what_another_program_rebound_is_offered_to_no_pod(wanted: str, other: str, rounds: int) -> None:
    """Whether the policy stays as it was or is edited meanwhile."""
    drifted = on(wanted, other, other)
    for edited in (wanted, "mlx5_vfio_pci"):
        found = published(on(wanted), asking(wanted))
        for _ in range(rounds):
            found = published(drifted, asking(edited), found)
        assert reasons(found)[-2:] == [Reason.DRIFTED] * 2


@pytest.mark.parametrize(("wanted", "other"), [("kernel", "vfio-pci"), ("vfio-pci", "igbvf"), ("vfio-pci", "pci-stub")])
@pytest.mark.parametrize("edit", [{"count": 8}, {"count": 3, "name": "slow"}], ids=["refused", "renamed and waits"])
@pytest.mark.parametrize("held", [False, True], ids=["free", "held when it drifted"])
def test_nor_is_it_while_an_edit_is_refused_or_waits_and_then_only_on_its_driver(
    wanted: str, other: str, edit: dict[str, Any], held: bool
) -> None:
    drifted = on(wanted, other, other)
    holders = tuple(a_pod(vf.address) for vf in drifted.pfs[0].vfs[-2:]) if held else ()
    found = published(on(wanted), asking(wanted))
    found = published(drifted, asking(wanted), found, holders=holders, originals=(ORIGINAL,))
    edited = granting(wanted, NOTHING, **edit)
    for _ in range(3):
        found = published(drifted, edited, found, originals=(ORIGINAL,))
        assert [d.healthy for d in devices(found).values()] == [True] * 5 + [False] * 2
    assert {d.healthy for d in devices(published(on(wanted), edited, found, originals=(ORIGINAL,))).values()} == {True}


def test_nor_is_it_after_it_was_out_of_sight() -> None:
    drifted = on("vfio-pci", "igbvf")
    found = published(drifted, asking("vfio-pci"), published(on("vfio-pci"), asking("vfio-pci")))
    lost = Unreadable(device=drifted.pfs[0].address, path="vendor", error="Input/output error")
    blind = published(an_inventory(unreadable=(lost,)), asking("vfio-pci"), found)
    assert set(reasons(blind)) == {Reason.UNREADABLE}
    assert reasons(published(drifted, asking("vfio-pci"), blind))[-1] is Reason.DRIFTED


# --- what containers get meanwhile -----------------------------------------------------------------------------------

GRANTS = [
    ("vfio-pci", Extras(vhost_net=True)),
    ("vfio-pci", Extras(iommufd=True, tun=True)),
    ("vfio-pci", Extras(cdi=Cdi(gid=107, mode="0660"))),
    ("kernel", Extras(rdma=True, cdi=Cdi())),
]
SPREAD = Choice(prefer=Prefer.SPREAD)
ORIGINAL = Original(address=a_pf(0).address, vendor="8086", device="10c9", num_vfs=0, autoprobe=True, vfs=())


def granting(driver: str, extras: Extras, name: str = "fast", **fields: Any) -> PolicyConfig:
    pool = PoolRequest(
        resource_name=f"virtfn.dev/{name}", indexes=None, driver=driver, extras=extras, choice=fields.pop("choice", ANY)
    )
    return replace(asking(driver, **fields), pools=(pool,))


def with_all(machine: Inventory) -> Inventory:
    """A machine that has whatever a grant asks for."""
    pf = machine.pfs[0]
    rdma = RdmaDevice(name="mlx5_0", nodes=("/dev/infiniband/uverbs0",))
    vfs = tuple(replace(vf, rdma=() if vf.vfio_bound else (rdma,)) for vf in pf.vfs)
    there = tuple(sorted(("/dev/vhost-net", "/dev/net/tun", "/dev/iommu", RDMA_CM)))
    return replace(an_inventory(replace(pf, vfs=vfs)), nodes_beside=there)


@pytest.mark.parametrize(("driver", "extras"), GRANTS)
@pytest.mark.parametrize("count", [3, 8], ids=["waits", "refused"])
def test_an_edit_that_renames_a_pool_leaves_the_old_one_its_grant(driver: str, extras: Extras, count: int) -> None:
    machine = with_all(on(driver))
    served = published(machine, granting(driver, extras, choice=SPREAD))
    assert reasons(served) == [None] * 7
    edited = granting(driver, Extras(), name="slow", count=count)
    once = published(machine, edited, served, originals=(ORIGINAL,))
    assert once == served
    assert published(machine, edited, once, originals=(ORIGINAL,)) == served


@pytest.mark.parametrize(("driver", "extras"), GRANTS)
def test_an_edit_of_driver_and_grant_that_waits_leaves_both(driver: str, extras: Extras) -> None:
    machine = with_all(on(driver))
    served = published(machine, granting(driver, extras))
    other = "kernel" if driver == "vfio-pci" else "vfio-pci"
    assert published(machine, granting(other, Extras(tun=True)), served) == served


def test_what_is_kept_in_a_pool_with_another_grant_by_now_is_withheld_until_its_change() -> None:
    """The first PF has changed; the second one waits for a pod."""
    first, second = on("vfio-pci").pfs[0], a_pf(1, vfs=2)
    second = replace(second, vfs=tuple(_bound(vf, "igbvf") for vf in second.vfs))
    both = replace(with_all(an_inventory(first)), functions=(with_all(an_inventory(first)).functions[0], second))
    before = with_all(an_inventory(replace(first, vfs=tuple(_bound(vf, "igbvf") for vf in first.vfs))))
    before = replace(before, functions=(before.functions[0], second))
    served = published(before, granting("kernel", Extras(tun=True), count=None))
    assert reasons(served) == [None] * 9
    edited = granting("vfio-pci", Extras(vhost_net=True), count=None)
    mixed = published(both, edited, served, holders=(a_pod(second.vfs[0].address),))
    assert mixed.pools[0].extras == Extras(vhost_net=True)
    assert [d.healthy for a, d in sorted(devices(mixed).items()) if a.bus == first.address.bus] == [True] * 7
    withheld = [devices(mixed)[vf.address].reason for vf in second.vfs]
    assert withheld == [Reason.RESOURCE_MISMATCH] * 2
    # Nor is one of them offered with the new grant that was unhealthy when the grant changed.
    bad = replace(second, vfs=(second.vfs[0], replace(second.vfs[1], lacks=(Part.NETDEV,))))
    holders = (a_pod(second.vfs[0].address),)
    mixed = published(replace(both, functions=(both.functions[0], bad)), edited, served, holders=holders)
    assert not devices(published(both, edited, mixed, holders=holders))[second.vfs[1].address].healthy


@pytest.mark.parametrize("driver", ["vfio-pci", "kernel"])
def test_the_vfs_of_a_deleted_policy_are_withdrawn_at_once_though_another_one_has_their_pf(driver: str) -> None:
    """The other policy's own functions stay on offer."""
    pool: dict[str, Any] = {"driver": driver}
    a = a_policy("a", count=7, pools=(PoolRequest(resource_name="virtfn.dev/a", indexes=(0, 1), **pool),))
    b = a_policy("b", count=7, pools=(PoolRequest(resource_name="virtfn.dev/b", indexes=(2, 3), **pool),))
    original = replace(ORIGINAL, vfs=tuple(OriginalVf(index=i, driver="igbvf", driver_override=None) for i in range(2)))
    machine = on(driver)
    served = published(machine, (a, b), originals=(original,))
    found = published(machine, (b,), served, originals=(original,))
    by_pool = {pool.resource_name: [d.reason for d in pool.devices] for pool in found.pools}
    assert by_pool == {"virtfn.dev/a": [Reason.RECONFIGURING] * 2, "virtfn.dev/b": [None] * 2}
    left = frozenset(vf.address for vf in machine.pfs[0].vfs)
    gone = published(machine, (b,), found, originals=(original,), left=left)
    assert {pool.resource_name for pool in gone.pools} == {"virtfn.dev/b"}


def test_indexes_that_an_edit_takes_out_of_a_pool_stay_on_offer_until_its_turn() -> None:
    """0008 withdraws at once only what a deleted policy had."""
    pool = PoolRequest(resource_name="virtfn.dev/a", indexes=(0, 1, 2, 3), driver="vfio-pci")
    served = published(on("vfio-pci"), a_policy("a", pools=(pool,)), originals=(ORIGINAL,))
    edited = a_policy("a", pools=(replace(pool, indexes=(0, 1)),))
    assert published(on("vfio-pci"), edited, served, originals=(ORIGINAL,)) == served
