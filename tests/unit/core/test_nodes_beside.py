"""A function is usable only while the machine has the device nodes that its policy gives beside it."""

from dataclasses import replace

import pytest
from inventories import a_pf, a_policy, an_inventory

from virtfn_host.core.checks.healthy import usable
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_host.core.values.extras import NOTHING, Cdi, Extras
from virtfn_host.core.values.model import Vf

VHOST, TUN, IOMMU = "/dev/vhost-net", "/dev/net/tun", "/dev/iommu"


def said(extras: Extras, *there: str) -> list[str]:
    """Ask about the first VF of a policy with this grant, on a machine with these nodes."""
    inventory = replace(an_inventory(a_pf(0, vfs=7)), nodes_beside=there)
    pools = tuple(replace(pool, extras=extras) for pool in a_policy().pools)
    desired = resolve(NodeConfig(policies=(replace(a_policy(), pools=pools),)), inventory, ()).desired
    wanted = next(vf for vf in desired.pfs[0].vfs if vf.driver is not None)
    vf = next(one for one in inventory.every if isinstance(one, Vf) and one.index == wanted.index)
    return [found.message for found in usable(wanted, vf, inventory)]


ALL = Extras(vhost_net=True, tun=True, iommufd=True)


@pytest.mark.parametrize(
    ("extras", "there", "missing"),
    [
        (NOTHING, (), []),
        (Extras(cdi=Cdi()), (), []),
        (Extras(vhost_net=True), (VHOST,), []),
        (Extras(vhost_net=True), (TUN, IOMMU), ["has no /dev/vhost-net beside it, which grant.vhostNet asks for"]),
        (Extras(tun=True), (VHOST,), ["has no /dev/net/tun beside it, which grant.tun asks for"]),
        (Extras(iommufd=True), (VHOST,), ["has no /dev/iommu beside it, which grant.iommufd asks for"]),
        (ALL, (VHOST, TUN, IOMMU), []),
    ],
)
def test_it_is_not_usable_without_what_is_asked_for(extras: Extras, there: tuple[str, ...], missing: list[str]) -> None:
    assert said(extras, *there) == missing


def test_every_node_that_is_missing_is_named() -> None:
    assert len(said(ALL)) == 3


def with_grant(name: str, extras: Extras) -> PolicyConfig:
    policy = a_policy(name=name)
    return replace(policy, pools=(replace(policy.pools[0], resource_name="virtfn.dev/one", extras=extras),))


@pytest.mark.parametrize(("first", "second"), [(ALL, NOTHING), (NOTHING, ALL)])
def test_a_function_needs_what_its_pool_gives_whichever_policy_it_is_of(first: Extras, second: Extras) -> None:
    config = NodeConfig(policies=(with_grant("first", first), with_grant("second", second)))
    desired = resolve(config, an_inventory(a_pf(0, vfs=7)), ()).desired
    assert {vf.extras for pf in desired.pfs for vf in pf.vfs if vf.resource_name == "virtfn.dev/one"} == {first}
