"""Who undoes a repair by taking the PF away, or the name by which it is known, does not begin anew each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from virtfn_host.backoff import Allowance
from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_host.core.values.steps import SetNumVfs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.operator.conftest import FakeNode

NETDEV = "eth1v00"
"""Of the PF, as the fake kernel calls it."""

MOST = 12
"""Times that VFs may be made or taken in ten minutes of a fight: twice as long between each."""


def by_name() -> NodeConfig:
    spec = {"devices": [{"netdev": NETDEV}], "virtualFunctions": {"count": 2, "pools": [{"resourceName": "fast"}]}}
    policy = policy_config(name="fast", uid="u1", generation=1, spec=spec)
    assert isinstance(policy, PolicyConfig)
    return NodeConfig(policies=(policy,))


async def ten_minutes(node: FakeNode, undo: Callable[[float], None]) -> int:
    """Times that `sriov_numvfs` was written while somebody acts before each turn."""
    node.ask(by_name())
    agent, now = node.agent(), 1000.0
    agent._reports = Allowance(burst=10_000, every=1.0)
    agent._machine._now = lambda: now
    for _ in range(600):
        undo(now)
        now += 1.0
        await agent.turn()
    return sum(isinstance(step, SetNumVfs) for step in node.applied)


async def test_a_pf_that_is_removed_and_found_again(fake_node: type[FakeNode]) -> None:
    node, there = fake_node(), True
    pf = node.pf.address

    def undo(_: float) -> None:
        nonlocal there
        if not there:
            there = True
            node.kernel.add_pf(pf)
        elif node.drivers == ["vfio-pci", "vfio-pci"]:
            there = False
            node.kernel.remove_pf(pf)

    assert 3 <= await ten_minutes(node, undo) <= MOST


@pytest.mark.parametrize("other", [(), ("eth7",)])
async def test_a_pf_that_is_renamed_and_named_as_before(fake_node: type[FakeNode], other: tuple[str, ...]) -> None:
    node, away = fake_node(), False

    def undo(_: float) -> None:
        nonlocal away
        if node.drivers == ["vfio-pci", "vfio-pci"]:
            node.rename_netdev(*(NETDEV,) if away else other)
            away = not away

    assert await ten_minutes(node, undo) == 1
