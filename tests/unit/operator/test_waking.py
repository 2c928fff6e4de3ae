"""What wakes the agent: a VF that is handed out is seen at once, and again until the kubelet lists its pod."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from virtfn_host.core.values.holders import Pod
from virtfn_host.core.values.offered import Allocation, Ledger

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode


async def test_an_allocation_is_seen_without_any_other_event(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    watching = asyncio.create_task(agent.watch_ledger(node))
    address = node.pf.address

    def seen() -> bool:
        nonlocal address
        if node.drivers == ["vfio-pci"] * 2 and node.handed_out is None and node.ready() == ("True", "Converged"):
            address = node.vfs[0]
            allocation = Allocation(address=address, resource_name="virtfn.dev/fast", at=999.0)
            node.handed_out = Ledger(boot_id=node.boot_id, allocations=(allocation,))
        if "being started" in str(node.status):
            node.pods[str(address)] = (Pod(namespace="default", name="dpdk-0"),)
        return "default/dpdk-0" in str(node.status)

    await node.until(agent, seen)
    watching.cancel()
