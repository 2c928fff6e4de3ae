"""Two resource names that would be one in a container's environment: the later claim is refused, with both names."""

import pytest
from inventories import a_pf, a_policy, an_inventory, pf_address

from virtfn_host.core.turn.resolve import Resolution, resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.resource_names import clashing

CLASHES = [
    ("virtfn.dev/a-b", "virtfn.dev/a_b"),
    ("virtfn.dev/a.b", "virtfn.dev/a-b"),
    ("virtfn.dev/Fast", "virtfn.dev/fast"),
    ("virtfn.dev/fast", "virtfn.dev/fast_info"),
    ("virtfn.dev/fast-INFO", "virtfn.dev/fast"),
    ("a-b.example/x", "a.b.example/x"),
    ("a.example/b_c", "a.example.b/c"),
]


def pool(name: str, *indexes: int) -> PoolRequest:
    return PoolRequest(resource_name=name, indexes=indexes, driver="vfio-pci")


def on(address: PciAddress) -> tuple[DeviceMatcher, ...]:
    return (DeviceMatcher(address=address),)


def resolved(*policies: PolicyConfig) -> Resolution:
    return resolve(NodeConfig(policies=policies), an_inventory(a_pf(0), a_pf(1)), ())


def offered(resolution: Resolution) -> set[str | None]:
    return {vf.resource_name for pf in resolution.desired.pfs for vf in pf.vfs if vf.resource_name}


@pytest.mark.parametrize(("first", "second"), CLASHES)
def test_of_two_policies_the_later_one_is_refused_with_both_names_and_the_winner(first: str, second: str) -> None:
    """Also on different PFs: a container may have functions of both."""
    older = a_policy("older", 2, devices=on(pf_address(0)), pools=(pool(first, 0),))
    later = a_policy("later", 2, devices=on(pf_address(1)), pools=(pool(second, 0),))
    resolution = resolved(older, later)
    assert offered(resolution) == {first}
    assert [(rejected.policy, rejected.reason) for rejected in resolution.rejected] == [("later", Reason.NAME_TAKEN)]
    for word in (first, second, "policy older"):
        assert word in resolution.rejected[0].message


@pytest.mark.parametrize(("first", "second"), CLASHES)
def test_of_two_pools_of_one_policy_the_later_one_is_refused_on_the_node(first: str, second: str) -> None:
    resolution = resolved(a_policy("one", 2, devices=on(pf_address(0)), pools=(pool(first, 0), pool(second, 1))))
    assert offered(resolution) == {first}
    assert [rejected.reason for rejected in resolution.rejected] == [Reason.NAME_TAKEN]


@pytest.mark.parametrize(("first", "second"), CLASHES)
def test_two_names_that_clash_are_found_in_either_order(first: str, second: str) -> None:
    assert clashing(["virtfn.dev/other", first, second]) == (first, second)
    assert clashing([second, "virtfn.dev/other", first]) == (second, first)


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["virtfn.dev/fast", "virtfn.dev/fast"],
        ["virtfn.dev/fast", "virtfn.dev/faster", "vendor.example/fast"],
        ["virtfn.dev/fast_info", "virtfn.dev/slow"],
    ],
)
def test_names_that_stay_apart_do_not_clash(names: list[str]) -> None:
    assert clashing(names) is None
