"""Which pools are served under their names: the kubelet's rules, allowed domains, and no two that mean the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from virtfn_deviceplugin.__main__ import main
from virtfn_deviceplugin.names import Chosen, chosen
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.extras import Cdi, Extras
from virtfn_host.core.values.offered import MOST_POOLS, DevicePool, PoolDevice, PoolSet
from virtfn_host.core.values.reasons import Reason

if TYPE_CHECKING:
    from plugin_node import Node


def choose(*names: str, serving: frozenset[str] = frozenset(), domains: frozenset[str] | None = None) -> Chosen:
    pools = tuple(DevicePool(resource_name=name, devices=()) for name in names)
    return chosen(PoolSet(boot_id="b", pools=pools), serving, domains, cdi=True)


def served(choice: Chosen) -> list[str]:
    return [pool.resource_name for pool in choice.pools.pools]


@pytest.mark.parametrize(
    "name",
    ["fast", "../../etc/x", "virtfn.dev/../x", "virtfn.dev/a/b", "virtfn.dev/", "", "kubernetes.io/x", "a b/c", "A/b"],
)
def test_a_name_that_the_kubelet_would_refuse_is_not_served_and_the_others_are(name: str) -> None:
    choice = choose(name, "virtfn.dev/good")
    assert served(choice) == ["virtfn.dev/good"]
    assert [refused.reason for refused in choice.refused] == [Reason.INVALID_POLICY]


def test_a_domain_that_is_not_allowed_is_not_served_and_the_value_is_named() -> None:
    choice = choose("nvidia.com/gpu", "virtfn.dev/fast", "vendor.example/x", domains=frozenset({"vendor.example"}))
    assert served(choice) == ["vendor.example/x", "virtfn.dev/fast"]
    assert "resourceDomains" in choice.refused[0].message
    assert served(choose("nvidia.com/gpu")) == ["nvidia.com/gpu"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("virtfn.dev/a-b", "virtfn.dev/a_b"),
        ("virtfn.dev/a.b", "virtfn.dev/a_b"),
        ("virtfn.dev/Fast", "virtfn.dev/fast"),
        ("virtfn.dev/fast", "virtfn.dev/fast_INFO"),
        ("virtfn.dev/fast", "virtfn.dev/fast-info"),
        ("a-b.c/d", "a.b.c/d"),
        ("virtfn.dev/fast", "virtfn.dev/fast"),
    ],
)
def test_two_names_that_mean_the_same_in_a_container_are_not_both_served(first: str, second: str) -> None:
    choice = choose(second, first)
    assert len(served(choice)) == 1
    assert [refused.reason for refused in choice.refused] == [Reason.NAME_TAKEN]
    for old in {first, second}:
        assert served(choose(first, second, serving=frozenset({old}))) == [old]  # a newcomer takes nothing away


@pytest.mark.parametrize("serving", ["virtfn.dev/a", "virtfn.dev/b"])
def test_a_function_is_offered_in_one_pool_only_or_the_kubelet_would_give_it_to_two_pods(serving: str) -> None:
    first, second, third = (
        PoolDevice(address=PciAddress(0, 1, 0x10, n), driver="vfio-pci", numa_node=0, healthy=True, reason=None)
        for n in range(3)
    )
    pools = (
        DevicePool(resource_name="virtfn.dev/a", devices=(first, second)),
        DevicePool(resource_name="virtfn.dev/b", devices=(second,)),
        DevicePool(resource_name="virtfn.dev/c", devices=(third,)),
    )
    choice = chosen(PoolSet(boot_id="b", pools=pools), frozenset({serving}), None, cdi=True)
    assert served(choice) == [serving, "virtfn.dev/c"]
    assert [refused.reason for refused in choice.refused] == [Reason.FUNCTION_TAKEN]
    assert f"{serving} has 0000:01:10.1, too" in choice.refused[0].message


@pytest.mark.parametrize("asked", [Cdi(), Cdi(gid=107, mode="0660")])
@pytest.mark.parametrize("serving", [frozenset[str](), frozenset({"virtfn.dev/a"})])
def test_a_pool_by_cdi_is_served_only_where_its_specs_can_be_written(asked: Cdi, serving: frozenset[str]) -> None:
    pools = (
        DevicePool(resource_name="virtfn.dev/a", devices=(), extras=Extras(cdi=asked, rdma=True)),
        DevicePool(resource_name="virtfn.dev/b", devices=(), extras=Extras(rdma=True)),
    )
    published = PoolSet(boot_id="b", pools=pools)
    assert served(chosen(published, serving, None, cdi=True)) == ["virtfn.dev/a", "virtfn.dev/b"]
    choice = chosen(published, serving, None, cdi=False)
    assert served(choice) == ["virtfn.dev/b"]
    assert [(it.resource_name, it.reason) for it in choice.refused] == [("virtfn.dev/a", Reason.INVALID_POLICY)]
    assert "virtfn.dev/a is not served: grant.cdi needs a folder" in choice.refused[0].message
    assert "devicePlugin.cdi: true" in choice.refused[0].message


def test_the_number_of_servers_is_bounded() -> None:
    choice = choose(*(f"virtfn.dev/p{n}x" for n in range(MOST_POOLS + 5)))
    assert (len(choice.pools.pools), len(choice.refused)) == (MOST_POOLS, 5)


async def test_what_is_refused_is_said_and_the_pool_beside_it_is_served(node: Node) -> None:
    node.publish(node.pool("virtfn.dev/../../x", 1), node.pool())
    await node.all_healthy()
    assert list(node.manager.servers) == ["virtfn.dev/fast"]
    assert "is not a resource name" in node.manager.complaint
    node.publish(node.pool())
    async with asyncio.timeout(5):
        while node.manager.complaint:
            await asyncio.sleep(0.01)


def test_a_domain_that_is_none_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["virtfn-device-plugin", "--resource-domains", "a.b,kubernetes.io"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "keeps for itself" in capsys.readouterr().err
