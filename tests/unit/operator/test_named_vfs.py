"""A policy whose pool names VFs that are not there is not Ready, and says which; it is when they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode


def asking(name: str, **functions: Any) -> PolicyConfig:
    spec = {"devices": [{"vendor": "8086"}], "virtualFunctions": functions}
    policy = policy_config(name=name, uid=name, generation=1, spec=spec)
    assert isinstance(policy, PolicyConfig), policy
    return policy


NAMING = asking("naming", pools=[{"resourceName": "fast", "indexes": "0-3"}])


async def standing(node: FakeNode, *policies: PolicyConfig) -> tuple[str, str, str]:
    """Return how the first policy stands after some turns."""
    node.ask(NodeConfig(policies=policies))
    agent = node.agent()
    for _ in range(3):
        await agent.turn()
    (outcome,) = [one for one in node.status["policies"] if one["name"] == policies[0].name]
    return outcome["state"], outcome["reason"], outcome["message"]


async def test_a_policy_without_count_says_which_are_missing_until_they_come(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    state, reason, message = await standing(node, NAMING)
    assert (state, reason) == ("Rejected", "NothingLeft")
    assert "there is no VF 0-3: the PF has 0 VFs" in message
    node.remake("igbvf", "igbvf", "vfio-pci", "vfio-pci")
    assert (await standing(node, NAMING))[:2] == ("Ready", "Converged")


async def test_vfs_that_another_policy_makes_are_no_problem(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    making = asking("making", count=6, pools=[{"resourceName": "slow", "indexes": "4-5"}])
    assert (await standing(node, NAMING, making))[:2] == ("Ready", "Converged")


async def test_the_rest_of_those_that_are_named_is_served(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    making = asking("making", count=2, pools=[{"resourceName": "slow", "indexes": "1"}])
    state, reason, message = await standing(node, NAMING, making)
    assert (state, reason) == ("Rejected", "NothingLeft")
    assert "there is no VF 2-3: policy making has set count to 2" in message
    assert node.file is not None
    assert [len(pool.devices) for pool in node.file.pools if pool.resource_name == "virtfn.dev/fast"] == [2]
