"""Functions handed out themselves: who may have them, what is never handed out, and how they come back."""

from dataclasses import replace
from typing import Any

from inventories import IGB, a_pf, a_plain, a_pod, a_policy, an_inventory, carried_out, pf_address

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.pools import pools
from virtfn_host.core.turn.resolve import Resolution, resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.desired import DesiredFunction, DeviceMatcher, NodeConfig, PolicyConfig, WholeRequest
from virtfn_host.core.values.model import (
    Function,
    GroupMember,
    InUse,
    Inventory,
    IommuGroup,
    Original,
    OriginalOwn,
)
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import describe

NOBODY = InUse(holders=())
ADDRESS = pf_address(0)
OWN = OriginalOwn(driver="igb", driver_override=None, netdevs=("eth0",))
BEFORE = Original(address=ADDRESS, vendor="8086", device="10c9", num_vfs=0, autoprobe=True, vfs=(), own=OWN)
PLAIN = a_plain(0)
HANDED: dict[str, Any] = {"driver": "vfio-pci", "driver_override": "vfio-pci", "vfio_bound": True, "netdevs": ()}
HANDED_OUT = a_plain(0, **HANDED)


def whole(name: str = "gpu", driver: str = "vfio-pci", matcher: DeviceMatcher = IGB) -> PolicyConfig:
    request = WholeRequest(resource_name=f"virtfn.dev/{name}", driver=driver)
    return a_policy(name, count=None, pools=(), devices=(matcher,), whole=request)


def resolved(*policies: PolicyConfig, pf: Function = PLAIN, originals: tuple[Original, ...] = ()) -> Resolution:
    return resolve(NodeConfig(policies=policies), an_inventory(pf), originals)


def reasons(resolution: Resolution) -> list[tuple[str, Reason]]:
    return [(r.policy, r.reason) for r in resolution.rejected]


def sentences(resolution: Resolution, inventory: Inventory) -> list[str]:
    return [describe(step) for step in plan(inventory, resolution.desired, NOBODY).steps]


def test_a_plain_function_goes_to_vfio_and_no_vfs_are_asked_of_it() -> None:
    resolution = resolved(whole())
    (pf,) = resolution.desired.pfs
    assert pf.num_vfs is None
    assert pf.own == DesiredFunction(
        driver="vfio-pci", driver_override="vfio-pci", resource_name="virtfn.dev/gpu", policy="gpu"
    )
    made = plan(an_inventory(PLAIN), resolution.desired, NOBODY)
    assert made.displaces == (ADDRESS,)
    assert verify(resolution.desired, carried_out(made, an_inventory(PLAIN))) == ()


def test_a_policy_of_vfs_passes_over_functions_that_make_none() -> None:
    assert reasons(resolved(a_policy())) == [("fast", Reason.NO_MATCHING_DEVICE)]


def test_vfs_and_the_pf_itself_exclude_each_other_and_the_first_wins() -> None:
    pf = a_pf(0)
    assert reasons(resolved(a_policy(), whole(), pf=pf)) == [("gpu", Reason.FUNCTION_TAKEN)]
    resolution = resolved(whole(), a_policy(), pf=pf)
    assert reasons(resolution) == [("fast", Reason.FUNCTION_TAKEN)]
    assert "policy gpu" in resolution.rejected[0].message


def test_what_the_machine_needs_is_never_handed_out() -> None:
    (refusal,) = resolved(whole(), pf=replace(PLAIN, needed_for="the file system on / is on it")).rejected
    assert refusal.reason is Reason.NEEDED_BY_MACHINE
    assert "the file system on /" in refusal.message


def test_a_pf_with_vfs_of_somebody_else_is_left_alone_and_with_ours_it_is_emptied_first() -> None:
    pf = a_pf(0, vfs=2)
    assert reasons(resolved(whole(), pf=pf)) == [("gpu", Reason.FUNCTION_TAKEN)]
    ours = replace(BEFORE, own=None)
    resolution = resolved(whole(), pf=pf, originals=(ours,))
    assert sentences(resolution, an_inventory(pf))[:2] == [
        f"{ADDRESS}: set sriov_numvfs 2 -> 0, detaching every VF",
        f"{ADDRESS}: unbind from igb",
    ]


def test_vfs_that_another_program_made_since_the_first_touch_are_not_ours() -> None:
    since = replace(BEFORE, own=None, number_untouched=True)
    assert reasons(resolved(whole(), pf=a_pf(0, vfs=2), originals=(since,))) == [("gpu", Reason.FUNCTION_TAKEN)]
    assert reasons(resolved(whole(), pf=a_pf(0), originals=(since,))) == []


def test_it_still_matches_by_the_driver_and_netdev_it_had() -> None:
    matcher = DeviceMatcher(driver="igb", netdev="eth0")
    resolution = resolved(whole(matcher=matcher), pf=HANDED_OUT, originals=(BEFORE,))
    assert resolution.rejected == ()
    assert sentences(resolution, an_inventory(HANDED_OUT)) == []


def test_it_comes_back_on_its_driver_and_is_forgotten() -> None:
    machine = an_inventory(HANDED_OUT)
    resolution = resolve(NodeConfig(policies=()), machine, (BEFORE,))
    assert sentences(resolution, machine) == [
        f"{ADDRESS}: unbind from vfio-pci",
        f"{ADDRESS}: set driver_override igb",
        f"{ADDRESS}: bind to igb",
        f"{ADDRESS}: clear driver_override",
        f"{ADDRESS}: original state is back, forget it",
    ]


def test_a_pf_that_goes_from_whole_to_vfs_gets_its_own_driver_first() -> None:
    handed_out = replace(a_pf(0), **HANDED)
    resolution = resolved(a_policy(count=1), pf=handed_out, originals=(BEFORE,))
    assert resolution.rejected == ()
    said = sentences(resolution, an_inventory(handed_out))
    assert said.index(f"{ADDRESS}: bind to igb") < said.index(f"{ADDRESS}: set sriov_numvfs 0 -> 1")


def test_vfs_are_not_made_while_somebody_still_has_the_pf_as_a_whole() -> None:
    pf = replace(a_pf(0), **HANDED)
    resolution = resolved(a_policy(count=2), pf=pf, originals=(BEFORE,))
    made = plan(an_inventory(pf), resolution.desired, InUse(holders=(a_pod(ADDRESS),)))
    assert made.steps == ()
    assert [(b.device, b.reason) for b in made.blocked] == [(ADDRESS, Reason.VFS_IN_USE)]


def test_a_sibling_on_its_kernel_driver_spoils_the_group_and_a_sibling_handed_out_too_does_not() -> None:
    sibling = replace(PLAIN, address=pf_address(1), iommu_group=0)
    members = tuple(GroupMember(address=pf.address, driver="igb", vfio_bound=False) for pf in (PLAIN, sibling))
    machine = an_inventory(PLAIN, sibling, groups=(IommuGroup(number=0, members=members),))
    one = resolve(NodeConfig(policies=(whole(matcher=DeviceMatcher(address=ADDRESS)),)), machine, ())
    (blocked,) = plan(machine, one.desired, NOBODY).blocked
    assert blocked.reason is Reason.GROUP_NOT_VIABLE
    both = resolve(NodeConfig(policies=(whole(),)), machine, ())
    assert plan(machine, both.desired, NOBODY).blocked == ()


def test_a_function_without_iommu_group_is_refused_unless_it_stays_on_its_driver() -> None:
    pf = replace(PLAIN, iommu_group=None)
    assert reasons(resolved(whole(), pf=pf)) == [("gpu", Reason.NO_IOMMU)]
    assert reasons(resolved(whole(driver="kernel"), pf=pf)) == []


def test_one_resource_has_one_driver_among_vfs_and_whole_functions() -> None:
    second = whole("fast", driver="kernel", matcher=DeviceMatcher(address=pf_address(1)))
    machine = an_inventory(a_pf(0), a_pf(1))
    first = a_policy(devices=(DeviceMatcher(address=ADDRESS),))
    resolution = resolve(NodeConfig(policies=(first, second)), machine, ())
    assert reasons(resolution) == [("fast", Reason.RESOURCE_MISMATCH)]


def test_a_whole_function_is_offered_by_its_own_address() -> None:
    resolution = resolved(whole(), pf=HANDED_OUT, originals=(BEFORE,))
    machine = an_inventory(HANDED_OUT)
    offered = pools(
        desired=resolution.desired,
        inventory=machine,
        in_use=NOBODY,
        plan=plan(machine, resolution.desired, NOBODY),
        previous=PoolSet(boot_id="boot-1", pools=()),
        withdrawn=frozenset(),
    )
    device = PoolDevice(address=ADDRESS, driver="vfio-pci", numa_node=None, healthy=True, reason=None)
    assert offered.pools == (DevicePool(resource_name="virtfn.dev/gpu", devices=(device,)),)


def test_vfs_are_not_given_back_to_a_card_that_has_no_sriov_any_more() -> None:
    desired = resolved(originals=(replace(BEFORE, num_vfs=3, own=None),)).desired
    made = plan(an_inventory(PLAIN), desired, NOBODY)
    assert (made.steps, [(b.device, b.reason) for b in made.blocked]) == ((), [(ADDRESS, Reason.SRIOV_UNSUPPORTED)])
