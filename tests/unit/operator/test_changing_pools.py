"""A function changes its pool in two rounds: no pod that got it meanwhile shares it with a pod of the new pool."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from inventories import a_policy

from virtfn_host.core.values.desired import NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.holders import Pod
from virtfn_host.core.values.offered import Allocation, Ledger, PoolSet

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

DRIVERS = ("vfio-pci", "kernel")
Pools = dict[str, tuple[int, ...]]


def asked(driver: str, **pools: tuple[int, ...]) -> PolicyConfig:
    requests = (
        PoolRequest(resource_name=f"virtfn.dev/{name}", indexes=indexes, driver=driver)
        for name, indexes in pools.items()
    )
    return a_policy("p", count=2, pools=tuple(requests))


def policies(driver: str, *several: Pools) -> NodeConfig:
    """One policy for each that has pools."""
    made = (
        replace(asked(driver, **pools), name=f"p{number}", uid=f"u{number}")
        for number, pools in enumerate(several)
        if pools
    )
    return NodeConfig(policies=tuple(made))


def pools(node: FakeNode) -> dict[str, dict[int, bool]]:
    """By pool the functions, and whether each is healthy."""
    published = node.file.pools if node.file else ()
    return {
        pool.resource_name.removeprefix("virtfn.dev/"): {
            node.vfs.index(device.address): device.healthy for device in pool.devices
        }
        for pool in published
    }


EDITS: dict[str, tuple[tuple[Pools, ...], tuple[Pools, ...]]] = {
    "renamed": (({"fast": (0, 1)},), ({"slow": (0, 1)},)),
    "indexes moved": (({"fast": (0, 1)},), ({"fast": (1,), "slow": (0,)},)),
    "swapped": (({"fast": (0,), "slow": (1,)},), ({"fast": (1,), "slow": (0,)},)),
    "left to another policy": (({"fast": (0, 1)}, {"slow": (0, 1)}), ({}, {"slow": (0, 1)})),
}


async def at_rest(node: FakeNode, before: tuple[Pools, ...], driver: str) -> None:
    node.ask(policies(driver, *before))
    agent = node.agent()
    for _ in range(3):
        await agent.turn()
    assert node.healthy == 2


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(("before", "after"), EDITS.values(), ids=EDITS)
async def test_a_function_that_a_pod_got_meanwhile_is_on_offer_nowhere(
    fake_node: type[FakeNode], before: tuple[Pools, ...], after: tuple[Pools, ...], driver: str
) -> None:
    """The kubelet gives it out of the old pool after the look, before the new pool file reaches it."""
    node = fake_node()
    await at_rest(node, before, driver)
    agent = node.agent()
    await agent.turn()
    agent.see(node.ask(policies(driver, *after)))

    def admit(_: PoolSet) -> None:
        node.pods[str(node.vfs[0])] = (Pod(namespace="default", name="dpdk-0"),)

    node.on_publish = admit
    for _ in range(4):
        await agent.turn()
        assert [found[0] for found in pools(node).values() if 0 in found] == [False]
    node.release()
    for _ in range(3):
        await agent.turn()
    assert pools(node)["slow"][0] is True


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(("before", "after"), EDITS.values(), ids=EDITS)
async def test_a_function_that_is_free_changes_its_pool_by_itself(
    fake_node: type[FakeNode], before: tuple[Pools, ...], after: tuple[Pools, ...], driver: str
) -> None:
    """Without an event: the loop of the fake node waits an hour when nothing is to be done."""
    node = fake_node()
    await at_rest(node, before, driver)
    node.ask(policies(driver, *after))
    await node.until(node.agent(), lambda: pools(node).get("slow", {}).get(0, False) and node.healthy == 2)


async def test_the_ledger_alone_keeps_it_too(fake_node: type[FakeNode]) -> None:
    """The kubelet lists a pod only when it has all its functions."""
    node = fake_node()
    await at_rest(node, ({"fast": (0, 1)},), "kernel")
    agent = node.agent()
    await agent.turn()
    agent.see(node.ask(policies("kernel", {"slow": (0, 1)})))

    def allocate(_: PoolSet) -> None:
        entry = Allocation(address=node.vfs[0], resource_name="virtfn.dev/fast", at=node.now)
        node.handed_out = Ledger(boot_id=node.boot_id, allocations=(entry,))

    node.on_publish = allocate
    for _ in range(3):
        await agent.turn()
        assert [found[0] for found in pools(node).values() if 0 in found] == [False]


async def test_it_stays_until_the_kubelet_offers_it_no_more(fake_node: type[FakeNode]) -> None:
    """The device plugin hangs: the kubelet has the old list, and gives the function out of the old pool."""
    node = fake_node()
    await at_rest(node, ({"fast": (0, 1)},), "kernel")
    agent = node.agent()
    node.offer = {"virtfn.dev/fast": frozenset(map(str, node.vfs))}
    agent.see(node.ask(policies("kernel", {"slow": (0, 1)})))
    for _ in range(5):
        await agent.turn()
        assert pools(node) == {"fast": {0: False, 1: False}}
    node.offer = None
    await agent.turn()
    assert pools(node) == {"slow": {0: True, 1: True}}


async def test_several_renames_in_a_row_end_with_the_last(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    await at_rest(node, ({"fast": (0, 1)},), "kernel")
    agent = node.agent()
    for name in ("slow", "other", "last"):
        agent.see(node.ask(policies("kernel", {name: (0, 1)})))
        await agent.turn()
    await node.until(agent, lambda: pools(node) == {"last": {0: True, 1: True}})


async def test_a_rename_that_is_taken_back_offers_it_again(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    await at_rest(node, ({"fast": (0, 1)},), "kernel")
    agent = node.agent()
    for name in ("slow", "fast"):
        agent.see(node.ask(policies("kernel", {name: (0, 1)})))
        await agent.turn()
    assert pools(node) == {"fast": {0: True, 1: True}}


@pytest.mark.parametrize("kept", [True, False], ids=["killed", "told to end, so the pool file is gone"])
@pytest.mark.parametrize(("before", "after"), EDITS.values(), ids=EDITS)
async def test_a_restart_between_the_rounds_is_as_careful_and_converges(
    fake_node: type[FakeNode], before: tuple[Pools, ...], after: tuple[Pools, ...], kept: bool
) -> None:
    node = fake_node()
    await at_rest(node, before, "kernel")
    node.ask(policies("kernel", *after))
    await node.agent().turn()
    if not kept:
        node.file = None
    anew = node.agent()
    node.pods[str(node.vfs[0])] = (Pod(namespace="default", name="dpdk-0"),)
    await anew.turn()
    assert [found[0] for found in pools(node).values() if 0 in found] == [False]
    node.release()
    await asyncio.sleep(0)
    await node.until(anew, lambda: pools(node).get("slow", {}).get(0, False) and node.healthy == 2)
