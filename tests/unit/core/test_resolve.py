"""Claims meet PFs: the first policy wins, and every refusal names the winner."""

from dataclasses import replace

import pytest
from inventories import IGB, a_pf, a_policy, a_vf, an_inventory, pf_address

from virtfn_host.core.turn.resolve import Resolution, resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.model import GroupMember, IommuGroup, Original, OriginalVf, Pf
from virtfn_host.core.values.reasons import Reason


def pool(name: str, indexes: tuple[int, ...] | None = None, driver: str = "vfio-pci") -> PoolRequest:
    return PoolRequest(resource_name=f"virtfn.dev/{name}", indexes=indexes, driver=driver)


def resolved(*policies: PolicyConfig, pfs: tuple[Pf, ...] | None = None) -> Resolution:
    return resolve(NodeConfig(policies=policies), an_inventory(*(pfs or (a_pf(0), a_pf(1)))), ())


def offered(resolution: Resolution, number: int = 0) -> dict[int, str | None]:
    pf = resolution.desired.pf(pf_address(number))
    assert pf is not None
    return {vf.index: vf.resource_name for vf in pf.vfs}


def reasons(resolution: Resolution) -> list[Reason]:
    return [rejected.reason for rejected in resolution.rejected]


def test_every_matching_pf_gets_the_count_and_every_vf_the_pool() -> None:
    resolution = resolved(a_policy())
    assert [pf.num_vfs for pf in resolution.desired.pfs] == [7, 7]
    assert offered(resolution, 1) == dict.fromkeys(range(7), "virtfn.dev/fast")
    assert resolution.rejected == ()


def test_a_policy_that_matches_nothing_says_so_and_claims_nothing() -> None:
    resolution = resolved(a_policy(devices=(DeviceMatcher(vendor="15b3"),)))
    assert reasons(resolution) == [Reason.NO_MATCHING_DEVICE]
    assert resolution.desired.pfs == ()


def test_every_given_field_of_a_matcher_must_hold() -> None:
    only_second = DeviceMatcher(
        vendor="8086", class_code="02", netdev="eth1", driver="igb", address=pf_address(1), device="10c9"
    )
    assert [pf.address for pf in resolved(a_policy(devices=(only_second,))).desired.pfs] == [pf_address(1)]
    assert resolved(a_policy(devices=(replace(only_second, numa_node=0),))).desired.pfs == ()


def test_an_open_pool_gets_what_no_other_pool_names() -> None:
    policy = a_policy(pools=(pool("rest"), pool("some", (0, 1, 6))))
    assert offered(resolved(policy)) == {
        0: "virtfn.dev/some",
        1: "virtfn.dev/some",
        2: "virtfn.dev/rest",
        3: "virtfn.dev/rest",
        4: "virtfn.dev/rest",
        5: "virtfn.dev/rest",
        6: "virtfn.dev/some",
    }


def test_the_first_count_stands_and_a_later_different_one_is_rejected_with_the_winner() -> None:
    resolution = resolved(a_policy("first", 4), a_policy("second", 5), pfs=(a_pf(0),))
    assert resolution.desired.pfs[0].num_vfs == 4
    assert reasons(resolution) == [Reason.COUNT_CONFLICT]
    assert "policy first" in resolution.rejected[0].message


def test_a_taken_index_is_rejected_with_the_winner_and_the_free_ones_are_granted() -> None:
    first = a_policy("first", pools=(pool("first", (0, 1)),))
    second = a_policy("second", pools=(pool("second", (1, 2)),))
    resolution = resolved(first, second, pfs=(a_pf(0),))
    assert reasons(resolution) == [Reason.INDEX_TAKEN]
    assert "VF 1 belongs to policy first" in resolution.rejected[0].message
    assert offered(resolution) == {0: "virtfn.dev/first", 1: "virtfn.dev/first", 2: "virtfn.dev/second"}


def test_an_open_pool_without_anything_left_is_rejected() -> None:
    resolution = resolved(a_policy("first"), a_policy("second"), pfs=(a_pf(0),))
    assert reasons(resolution) == [Reason.NOTHING_LEFT]
    assert "first" in resolution.rejected[0].message


def test_an_open_pool_on_a_pf_that_shall_have_no_vfs_is_told_whose_count_that_is() -> None:
    resolution = resolved(a_policy("none", 0), a_policy("second", None), pfs=(a_pf(0),))
    assert reasons(resolution) == [Reason.NOTHING_LEFT]
    assert (
        "no VF is left for virtfn.dev/second; policy none has set count to 0; raise" in resolution.rejected[0].message
    )


def test_one_resource_name_has_one_driver() -> None:
    first = a_policy("first", pools=(pool("same", (0,)),))
    second = a_policy("second", pools=(pool("same", (1,), "kernel"),))
    assert reasons(resolved(first, second, pfs=(a_pf(0),))) == [Reason.RESOURCE_MISMATCH]


def test_more_vfs_than_the_device_offers_is_rejected_and_others_stand() -> None:
    small = a_pf(0, total_vfs=4)
    resolution = resolved(a_policy(), pfs=(small, a_pf(1)))
    assert reasons(resolution) == [Reason.TOO_MANY_VFS]
    assert [pf.address for pf in resolution.desired.pfs] == [pf_address(1)]


def test_a_pf_without_vfs_to_offer_or_without_driver_is_rejected() -> None:
    assert reasons(resolved(a_policy(), pfs=(a_pf(0, total_vfs=0),))) == [Reason.SRIOV_UNSUPPORTED]
    assert reasons(resolved(a_policy(), pfs=(replace(a_pf(0), driver=None),))) == [Reason.PF_DRIVER_MISSING]


def test_vfio_needs_an_iommu_and_the_kernel_driver_does_not() -> None:
    bare = a_pf(0, iommu_group=None)
    assert reasons(resolved(a_policy(), pfs=(bare,))) == [Reason.NO_IOMMU]
    assert resolved(a_policy(pools=(pool("net", None, "kernel"),)), pfs=(bare,)).rejected == ()


def test_a_pf_in_one_group_with_its_port_is_refused_before_any_vf_is_made() -> None:
    inventory = an_inventory(a_pf(0))
    port = GroupMember(address=PciAddress(0, 0, 1, 0), driver="pcieport", vfio_bound=False)
    group = IommuGroup(number=0, members=(*inventory.groups[0].members, port))
    resolution = resolve(NodeConfig(policies=(a_policy(),)), replace(inventory, groups=(group,)), ())
    assert reasons(resolution) == [Reason.GROUP_NOT_VIABLE]
    assert resolution.desired.pfs == ()


def test_without_a_count_the_number_is_somebody_elses() -> None:
    pf = resolved(a_policy(count=None), pfs=(a_pf(0, vfs=3, driver="igbvf"),)).desired.pfs[0]
    assert (pf.num_vfs, pf.autoprobe, len(pf.vfs)) == (None, None, 3)


def test_adding_a_later_policy_moves_no_vf_of_an_earlier_one() -> None:
    first = a_policy("first", pools=(pool("first", (0, 1)),))
    alone = offered(resolved(first, pfs=(a_pf(0),)))
    both = offered(resolved(first, a_policy("second"), pfs=(a_pf(0),)))
    assert alone.items() <= both.items()


ORIGINAL = Original(
    address=pf_address(0),
    vendor="8086",
    device="10c9",
    num_vfs=2,
    autoprobe=True,
    vfs=(
        OriginalVf(index=0, driver="igbvf", driver_override=None),
        OriginalVf(index=1, driver=None, driver_override="x"),
    ),
)


def test_what_no_policy_claims_any_more_is_given_back_as_it_was() -> None:
    resolution = resolve(NodeConfig(policies=()), an_inventory(a_pf(0, vfs=7), a_pf(1, vfs=7)), (ORIGINAL,))
    (pf,) = resolution.desired.pfs
    assert (pf.address, pf.num_vfs, pf.autoprobe, pf.given_back) == (pf_address(0), 2, True, True)
    assert [(vf.driver, vf.driver_override) for vf in pf.vfs] == [("igbvf", None), (None, "x")]


@pytest.mark.parametrize("autoprobe", [True, False])
def test_a_number_that_virtfn_never_set_stays_and_only_existing_vfs_are_given_back(autoprobe: bool) -> None:
    untouched = replace(ORIGINAL, number_untouched=True, autoprobe=autoprobe)
    left = (*a_pf(0, vfs=3).vfs, a_vf(0, 3), a_vf(0, 4, "igbvf"))
    for there in (left, left[:1], ()):
        machine = an_inventory(replace(a_pf(0), vfs=there))
        (pf,) = resolve(NodeConfig(policies=()), machine, (untouched,)).desired.pfs
        assert (pf.num_vfs, pf.given_back) == (None, True)
        own = "kernel" if autoprobe else None
        # The driver that the kernel picks is nothing of ours; no driver may be what is left of an earlier try.
        wanted = [(0, "igbvf", None), (1, None, "x"), (2, own, None), *([(3, own, None)] if autoprobe else [])]
        assert [(vf.index, vf.driver, vf.driver_override) for vf in pf.vfs] == wanted[: len(there)]


@pytest.mark.parametrize("driver", [None, "vfio-pci"])
def test_a_later_vf_without_a_driver_is_left_alone_where_no_sibling_shows_that_the_kernel_has_one(
    driver: str | None,
) -> None:
    sibling = replace(a_vf(0, 0, driver), vfio_bound=driver is not None)
    noted = (OriginalVf(index=0, driver=driver, driver_override=None),)
    untouched = replace(ORIGINAL, number_untouched=True, autoprobe=True, vfs=noted)
    machine = an_inventory(replace(a_pf(0), vfs=(sibling, a_vf(0, 1))))
    (pf,) = resolve(NodeConfig(policies=()), machine, (untouched,)).desired.pfs
    assert [vf.index for vf in pf.vfs] == [0]


def test_another_card_in_the_same_slot_is_not_made_like_the_old_one() -> None:
    other = a_pf(0, vfs=1, device="1572")
    assert resolve(NodeConfig(policies=()), an_inventory(other), (ORIGINAL,)).desired.pfs == ()


def test_a_vf_that_left_its_pool_is_given_back_while_its_pf_stays() -> None:
    policy = a_policy(count=2, pools=(pool("fast", (0,)),), devices=(IGB,))
    original = replace(ORIGINAL, num_vfs=0, vfs=())
    (pf,) = resolve(NodeConfig(policies=(policy,)), an_inventory(a_pf(0, vfs=2)), (original,)).desired.pfs
    left = pf.vf(1)
    assert left is not None
    assert (left.driver, left.resource_name) == (None, None)


def test_a_vf_that_somebody_else_put_on_a_driver_is_left_to_him() -> None:
    policy = a_policy(count=2, pools=(pool("fast", (0,)),))
    machine = an_inventory(a_pf(0, vfs=1, autoprobe=False))
    machine = an_inventory(replace(machine.pfs[0], vfs=(*machine.pfs[0].vfs, a_vf(0, 1, "igbvf"))))
    (pf,) = resolve(NodeConfig(policies=(policy,)), machine, (replace(ORIGINAL, num_vfs=0, vfs=()),)).desired.pfs
    assert pf.vf(1) is None
