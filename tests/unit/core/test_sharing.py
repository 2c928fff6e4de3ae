"""Functions that share an IOMMU group: one of them is on offer, to one pod, and the others say why they are not."""

from dataclasses import replace

import pytest
from inventories import a_plain, a_pod, a_policy, an_inventory

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.pools import pools
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, WholeRequest
from virtfn_host.core.values.holders import Cause, Holder, Process
from virtfn_host.core.values.model import Function, GroupMember, InUse, Inventory, IommuGroup
from virtfn_host.core.values.offered import PoolDevice, PoolSet
from virtfn_host.core.values.parts import Part
from virtfn_host.core.values.reasons import Reason

NOBODY = InUse(holders=())
EMPTY = PoolSet(boot_id="boot-1", pools=())


def on_vfio(number: int, **fields: object) -> Function:
    there = {"driver": "vfio-pci", "driver_override": "vfio-pci", "vfio_bound": True, "iommu_group": 9, "netdevs": ()}
    return a_plain(number, **(there | fields))


def together(*functions: Function) -> Inventory:
    """A machine where all functions of one group number share that group."""
    numbers = {function.iommu_group for function in functions}
    groups = [
        IommuGroup(
            number=number,
            members=tuple(
                GroupMember(address=f.address, driver=f.driver, vfio_bound=f.vfio_bound)
                for f in functions
                if f.iommu_group == number
            ),
        )
        for number in numbers
        if number is not None
    ]
    return replace(an_inventory(*functions), groups=tuple(sorted(groups, key=lambda group: group.number)))


def whole(name: str, *functions: Function) -> PolicyConfig:
    devices = tuple(DeviceMatcher(address=function.address) for function in functions)
    request = WholeRequest(resource_name=f"virtfn.dev/{name}", driver="vfio-pci")
    return a_policy(name, count=None, pools=(), devices=devices, whole=request)


def published(
    inventory: Inventory, *policies: PolicyConfig, in_use: InUse = NOBODY, previous: PoolSet = EMPTY
) -> PoolSet:
    desired = resolve(NodeConfig(policies=policies), inventory, ()).desired
    made = plan(inventory, desired, in_use)
    return pools(
        desired=desired, inventory=inventory, in_use=in_use, plan=made, previous=previous, withdrawn=frozenset()
    )


def devices(found: PoolSet) -> dict[PciAddress, PoolDevice]:
    return {device.address: device for pool in found.pools for device in pool.devices}


def healthy(found: PoolSet) -> list[PciAddress]:
    return [address for address, device in devices(found).items() if device.healthy]


ONE, TWO, THREE = (on_vfio(number) for number in range(3))


@pytest.mark.parametrize(
    "policies",
    [
        (whole("nic", ONE, TWO, THREE),),
        (whole("nic", ONE), whole("other", TWO, THREE)),
        (whole("c", ONE), whole("b", TWO), whole("a", THREE)),
    ],
    ids=["one pool", "two pools", "three pools"],
)
def test_one_of_them_is_healthy_whatever_pools_they_are_in(policies: tuple[PolicyConfig, ...]) -> None:
    found = published(together(ONE, TWO, THREE), *policies)
    assert healthy(found) == [ONE.address]
    for function in (TWO, THREE):
        device = devices(found)[function.address]
        assert device.reason is Reason.NOT_USABLE
        assert f"shares IOMMU group 9 with {ONE.address}, which virtfn.dev/" in (device.message or "")


def test_each_group_has_one() -> None:
    other = [on_vfio(number, iommu_group=10) for number in (3, 4)]
    found = published(together(ONE, TWO, *other), whole("nic", ONE, TWO, *other))
    assert healthy(found) == [ONE.address, other[0].address]


@pytest.mark.parametrize("cause", [Cause.KUBELET, Cause.LEDGER, Cause.ENABLED])
def test_one_that_is_held_stays_the_one(cause: Cause) -> None:
    held = a_pod(TWO.address) if cause is Cause.KUBELET else Holder(address=TWO.address, cause=cause)
    seen = Holder(address=ONE.address, cause=Cause.ENABLED, member=TWO.address)
    in_use = InUse(holders=(held, seen))
    assert healthy(published(together(ONE, TWO), whole("nic", ONE, TWO), in_use=in_use)) == [TWO.address]


def test_one_that_cannot_be_used_leaves_its_place_to_another() -> None:
    bad = replace(ONE, lacks=(Part.NODE,))
    found = published(together(bad, TWO, THREE), whole("nic", bad, TWO, THREE))
    assert healthy(found) == [TWO.address]
    assert (devices(found)[bad.address].message or "").startswith("has no device node")


def test_one_that_is_held_and_cannot_be_used_leaves_its_place_to_none() -> None:
    """Its pod may still have the group open."""
    bad = replace(ONE, lacks=(Part.NODE,))
    in_use = InUse(holders=(a_pod(bad.address),))
    assert healthy(published(together(bad, TWO), whole("nic", bad, TWO), in_use=in_use)) == []


def test_one_that_was_offered_before_stays_the_one() -> None:
    """A pod may get a function while this is decided."""
    policies = (whole("nic", ONE, TWO),)
    before = published(together(replace(ONE, lacks=(Part.NODE,)), TWO), *policies)
    assert healthy(before) == [TWO.address]
    assert healthy(published(together(ONE, TWO), *policies, previous=before)) == [TWO.address]


@pytest.mark.parametrize("cause", [Cause.ENABLED, Cause.CDEV_OPEN, Cause.KUBELET])
def test_a_member_in_no_pool_that_is_in_use_has_the_whole_group(cause: Cause) -> None:
    process = Process(pid=1, command="qemu") if cause is Cause.CDEV_OPEN else None
    user = a_pod(TWO.address) if cause is Cause.KUBELET else Holder(address=TWO.address, cause=cause, process=process)
    found = published(together(ONE, TWO), whole("nic", ONE), in_use=InUse(holders=(user,)))
    device = devices(found)[ONE.address]
    assert device.reason is Reason.VFS_IN_USE
    assert f"in use through {TWO.address}" in (device.message or "")


def test_an_idle_member_in_no_pool_hinders_nothing() -> None:
    assert healthy(published(together(ONE, TWO), whole("nic", ONE))) == [ONE.address]


def test_unknown_use_of_a_member_in_no_pool_withdraws_nothing() -> None:
    """While the kubelet is silent every function counts as in use, for changes only."""
    unknown = tuple(Holder(address=f.address, cause=Cause.KUBELET_SILENT) for f in (ONE, TWO))
    assert healthy(published(together(ONE, TWO), whole("nic", ONE), in_use=InUse(holders=unknown))) == [ONE.address]


def test_functions_on_other_drivers_share_nothing() -> None:
    kernel = [on_vfio(number, driver="igb", driver_override=None, vfio_bound=False) for number in range(2)]
    request = WholeRequest(resource_name="virtfn.dev/nic", driver="kernel")
    policy = replace(whole("nic", *kernel), whole=request)
    assert healthy(published(together(*kernel), policy)) == [function.address for function in kernel]
