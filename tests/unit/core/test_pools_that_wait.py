"""A PF that waits for a change of its drivers serves pods as before; what another program rebound does not."""

from dataclasses import replace
from typing import Any

import pytest
from inventories import a_pf, a_pod, a_policy, an_inventory

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.pools import pools
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.model import InUse, Inventory, Unreadable
from virtfn_host.core.values.offered import PoolDevice, PoolSet
from virtfn_host.core.values.parts import Part
from virtfn_host.core.values.reasons import Reason

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


def published(inventory: Inventory, policy: PolicyConfig, previous: PoolSet = EMPTY, **fields: Any) -> PoolSet:
    in_use = InUse(holders=fields.pop("holders", ()))
    desired = resolve(NodeConfig(policies=(policy,)), inventory, ()).desired
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


def test_nor_is_it_after_it_was_out_of_sight() -> None:
    drifted = on("vfio-pci", "igbvf")
    found = published(drifted, asking("vfio-pci"), published(on("vfio-pci"), asking("vfio-pci")))
    lost = Unreadable(device=drifted.pfs[0].address, path="vendor", error="Input/output error")
    blind = published(an_inventory(unreadable=(lost,)), asking("vfio-pci"), found)
    assert set(reasons(blind)) == {Reason.UNREADABLE}
    assert reasons(published(drifted, asking("vfio-pci"), blind))[-1] is Reason.DRIFTED
