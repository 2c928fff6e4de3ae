"""On a node, a policy that is refused for good keeps nothing of one that is deleted, and everything of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode


def asking(name: str, *, generation: int = 1, **functions: Any) -> PolicyConfig:
    spec = {"devices": [{"vendor": "8086"}], **functions}
    policy = policy_config(name=name, uid=name, generation=generation, spec=spec)
    assert isinstance(policy, PolicyConfig), policy
    return policy


def of_vfs(name: str, count: int, generation: int = 1) -> PolicyConfig:
    functions = {"count": count, "pools": [{"resourceName": name}]}
    return asking(name, generation=generation, virtualFunctions=functions)


async def turns(node: FakeNode, *policies: PolicyConfig) -> None:
    node.ask(NodeConfig(policies=policies))
    agent = node.agent()
    for _ in range(4):
        await agent.turn()


def standing(node: FakeNode) -> dict[str, str]:
    return {one["name"]: one["reason"] for one in node.status["policies"]}


def on_offer(node: FakeNode) -> dict[str, int]:
    pools = node.file.pools if node.file else ()
    return {pool.resource_name: sum(device.healthy for device in pool.devices) for pool in pools if pool.devices}


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
async def test_the_deleted_ones_vfs_go(fake_node: type[FakeNode], first: bool) -> None:
    node, had, other = fake_node(), of_vfs("had", 4), of_vfs("other", 8)
    await turns(node, *((other, had) if first else (had, other)))
    assert (on_offer(node), standing(node)["had"]) == ({"virtfn.dev/had": 4}, "Converged")
    await turns(node, other)
    assert (node.vfs, on_offer(node), node.original) == ([], {}, None)
    assert node.host.machine.journal.claims() == ()
    assert standing(node) == {"other": "TooManyVfs"}


async def test_what_a_pod_holds_goes_when_it_is_free(fake_node: type[FakeNode]) -> None:
    node, other = fake_node(), of_vfs("other", 8)
    await turns(node, of_vfs("had", 2), other)
    node.open(1)
    await turns(node, other)
    assert (len(node.vfs), on_offer(node)) == (2, {"virtfn.dev/had": 0})
    assert [claim.policy for claim in node.host.machine.journal.claims()] == ["had"]
    node.kernel.close_device(node.vfs[1])
    await turns(node, other)
    assert (node.vfs, node.host.machine.journal.claims()) == ([], ())


async def test_the_refused_edit_of_the_one_that_has_them_takes_nothing_away(fake_node: type[FakeNode]) -> None:
    node, other = fake_node(), of_vfs("other", 8)
    await turns(node, of_vfs("had", 4), other)
    before = list(node.kernel.writes)
    await turns(node, of_vfs("had", 8, generation=2), other)
    assert (node.kernel.writes, on_offer(node)) == (before, {"virtfn.dev/had": 4})
    assert standing(node) == {"had": "TooManyVfs", "other": "TooManyVfs"}
