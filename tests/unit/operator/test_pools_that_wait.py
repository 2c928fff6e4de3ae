"""A node that waits for its turn serves pods as before, also after a restart of its agent as far as that is known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from virtfn_host.core.values.desired import NodeConfig
from virtfn_host.core.values.extras import NOTHING, Cdi, Extras

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode


@pytest.mark.parametrize(("before", "after"), [("kernel", "vfio-pci"), ("vfio-pci", "kernel")])
async def test_a_driver_edit_takes_a_node_out_of_service_only_in_its_turn(
    fake_node: type[FakeNode], before: str, after: str
) -> None:
    node = fake_node()
    node.ask(node.config(2, before))
    agent = node.agent()
    await agent.turn()
    published = node.file
    agent.see(node.ask(node.config(2, after), may_change=False))
    for _ in range(3):
        await agent.turn()
        assert (node.healthy, node.file) == (2, published)
    await node.agent().turn()  # killed, and started anew
    assert node.file == published
    agent.see(node.ask(node.config(2, after)))
    await agent.turn()
    assert node.healthy == 2
    assert ("vfio-pci" in node.drivers) == (after == "vfio-pci")


async def test_what_another_program_rebound_is_not_offered_after_a_restart_either(fake_node: type[FakeNode]) -> None:
    """The pool file is gone, and the status names the driver that it is on by now."""
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    node.bind(1, "igbvf")
    agent.see(node.ask(node.config(2), may_change=False))
    await agent.turn()
    assert node.healthy == 1
    node.file = None
    anew = node.agent()
    for _ in range(2):
        await anew.turn()
        assert node.healthy == 1


@pytest.mark.parametrize(("after", "healthy"), [("fast", 2), ("slow", 0)], ids=["its name is known", "it is not"])
async def test_after_a_restart_without_pool_file_only_a_pool_whose_grant_is_known_is_kept_on_offer(
    fake_node: type[FakeNode], after: str, healthy: int
) -> None:
    """The edit waits for its turn. What containers get is in the pool file, or in a policy that asks for the pool."""
    node = fake_node()
    node.ask(node.config(2))
    await node.agent().turn()
    edited = node.config(1)
    (policy,) = edited.policies
    pool = replace(policy.pools[0], resource_name=f"virtfn.dev/{after}", extras=Extras(cdi=Cdi()))
    node.ask(NodeConfig(policies=(replace(policy, pools=(pool,)),)), may_change=False)
    node.file = None
    anew = node.agent()
    for _ in range(3):
        await anew.turn()
        assert node.file is not None
        (found,) = node.file.pools
        assert (found.resource_name, node.healthy) == ("virtfn.dev/fast", healthy)
        assert found.extras == (pool.extras if healthy else NOTHING)
