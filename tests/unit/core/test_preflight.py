"""What this machine cannot do is refused before anything of the PF is touched."""

from dataclasses import replace

import pytest
from inventories import a_pf, a_policy, an_inventory

from virtfn_host.core.checks.drivers import driver_trouble
from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.desired import NodeConfig, PoolRequest
from virtfn_host.core.values.model import InUse, Inventory
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Plan

BARE = ("igb", "igbvf")


def machine(vfs: int = 0, loadable: tuple[str, ...] | None = (), **fields: object) -> Inventory:
    """A PF whose VFs are on igbvf, on a kernel that has registered no vfio driver."""
    return replace(an_inventory(a_pf(0, vfs, "igbvf"), drivers=BARE, **fields), loadable=loadable)


def planned(inventory: Inventory, driver: str = "vfio-pci", count: int | None = 3) -> Plan:
    pool = PoolRequest(resource_name="virtfn.dev/fast", indexes=None, driver=driver)
    desired = resolve(NodeConfig(policies=(a_policy(count=count, pools=(pool,)),)), inventory, ()).desired
    return plan(inventory, desired, InUse(holders=()))


@pytest.mark.parametrize("count", [3, None], ids=["VFs to be made", "bind-only"])
def test_a_module_that_the_kernel_has_not_is_refused_with_nothing_touched(count: int | None) -> None:
    made = planned(machine(vfs=2), "mlx5_vfio_pci", count)
    assert (made.steps, made.displaces) == ((), ())
    assert [blocked.reason for blocked in made.blocked] == [Reason.MODULE_MISSING]
    assert "mlx5_vfio_pci" in made.blocked[0].message


def test_a_name_that_is_no_vfio_driver_is_told_which_there_are() -> None:
    (blocked,) = planned(machine(loadable=("mlx5_vfio_pci", "vfio-pci")), "vifo-pci").blocked
    assert blocked.reason is Reason.DRIVER_MISSING
    assert "mlx5_vfio_pci, vfio-pci" in blocked.message


def test_a_driver_that_is_registered_or_can_be_loaded_is_good() -> None:
    assert planned(machine(loadable=("vfio-pci",))).blocked == ()
    assert planned(replace(machine(), drivers=(*BARE, "vfio-pci"))).blocked == ()


def test_where_modules_are_not_to_be_seen_nobody_is_refused() -> None:
    assert driver_trouble(machine(loadable=None), "vfio-pci") is None
    assert planned(machine(loadable=None)).steps


def test_the_kernels_own_driver_needs_no_vfio() -> None:
    assert planned(machine(), "kernel").blocked == ()


@pytest.mark.parametrize("count", [3, None], ids=["VFs to be made", "bind-only"])
def test_without_an_iommu_nothing_is_planned(count: int | None) -> None:
    inventory = replace(an_inventory(a_pf(0, 2, "igbvf", iommu_group=None)), groups=())
    resolution = resolve(NodeConfig(policies=(a_policy(count=count),)), inventory, ())
    assert [rejected.reason for rejected in resolution.rejected] == [Reason.NO_IOMMU]
    assert plan(inventory, resolution.desired, InUse(holders=())).steps == ()
