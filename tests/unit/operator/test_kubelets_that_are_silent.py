"""While the kubelet does not answer, it is unknown what pods are offered: no policy becomes Ready by that.

The clock is the node's; a round is made every five seconds of it, the longest pause of an agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fleet_of_policies import Fleet, edited

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_operator.agent.loop import Agent
from virtfn_operator.agent.ports import Patience
from virtfn_operator.api.node_state import read_node
from virtfn_operator.api.policy import Policy
from virtfn_operator.controller.status import policy_status
from virtfn_operator.controller.tainted import at_rest

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

NOW = "2026-01-01T00:00:00Z"
TALKATIVE = Patience(reports=1000)
"""Writes every status at once, because these tests take no time."""

READY, NOT_OFFERED, SILENT = ("Ready", "Converged"), ("Failed", "NotOffered"), ("Changing", "KubeletUnreachable")


def asked(domain: str = "virtfn.dev", **indexes: str) -> NodeConfig:
    """A policy for each resource, with VFs of one PF."""
    configs = []
    for name, some in indexes.items():
        pools = [{"resourceName": f"{domain}/{name}", "indexes": some}]
        spec = {"devices": [{"vendor": "8086"}], "virtualFunctions": {"count": 4, "pools": pools}}
        configs.append(policy_config(name=name, uid=name, generation=1, spec=spec))
    return NodeConfig(policies=tuple(config for config in configs if isinstance(config, PolicyConfig)))


FAST, BOTH = asked(fast="0-3"), asked(fast="0-1", slow="2-3")


async def without(fake_node: type[FakeNode], config: NodeConfig, *withheld: str) -> tuple[FakeNode, Agent]:
    """A node that says for some resources that the kubelet does not offer them."""
    node = fake_node()
    node.ask(config)
    agent = node.agent(TALKATIVE)
    await agent.turn()
    if withheld:
        offer = dict((await node.offered()).devices)
        node.offer = offer | {f"virtfn.dev/{name}": frozenset[str]() for name in withheld}
        await rounds(node, agent, 30)
    assert states(node) == {p.name: NOT_OFFERED if p.name in withheld else READY for p in config.policies}
    return node, agent


async def rounds(node: FakeNode, agent: Agent, seconds: int) -> None:
    for _ in range(seconds // 5):
        node.now += 5
        await agent.turn()


def states(node: FakeNode) -> dict[str, tuple[str, str]]:
    return {p["name"]: (p["state"], p["reason"]) for p in node.status["policies"]}


def histories(node: FakeNode, policy: str) -> list[str]:
    """Every state of a policy that was written, in order."""
    return [p["state"] for status in node.statuses for p in status["policies"] if p["name"] == policy]


def of_policy(node: FakeNode, config: PolicyConfig) -> dict[str, Any]:
    """What the controller says of a policy that this node alone carries out."""
    policy = Policy(name=config.name, uid=config.uid, generation=1, created=NOW, config=config)
    return policy_status(policy, [read_node({**node.body, "metadata": {"name": "n1", "generation": 2}})], {}, NOW)


def ready(node: FakeNode, config: PolicyConfig) -> tuple[str, str]:
    (found,) = (c for c in of_policy(node, config)["conditions"] if c["type"] == "Ready")
    return found["status"], found["reason"]


@pytest.mark.parametrize("seconds", [25, 30, 300])
async def test_a_policy_is_not_ready_while_it_is_unknown_what_is_offered(
    fake_node: type[FakeNode], seconds: int
) -> None:
    node, agent = await without(fake_node, FAST)
    node.kubelet_away = True
    await rounds(node, agent, seconds)
    assert states(node) == {"fast": SILENT}
    assert node.status["policies"][0]["message"] == "it is unknown what the kubelet offers to pods: no kubelet"
    assert ready(node, FAST.policies[0]) == ("False", "KubeletUnreachable")
    assert not at_rest(read_node(node.body))
    node.kubelet_away = False
    await rounds(node, agent, 5)
    assert states(node) == {"fast": READY}
    assert ready(node, FAST.policies[0]) == ("True", "Converged")
    assert at_rest(read_node(node.body))


@pytest.mark.parametrize("seconds", [5, 10, 15, 20])
async def test_a_short_restart_of_the_kubelet_is_not_told(fake_node: type[FakeNode], seconds: int) -> None:
    node, agent = await without(fake_node, BOTH)
    for _ in range(3):
        node.kubelet_away = True
        await rounds(node, agent, seconds)
        node.kubelet_away, node.kubelet = False, node.kubelet + 1
        node.offer = {}  # until the device plugin has registered
        await rounds(node, agent, 5)
        node.offer = None
        await rounds(node, agent, 10)
    assert {*histories(node, "fast"), *histories(node, "slow")} <= {"Changing", "Ready"}
    assert set(histories(node, "fast")[-4:]) == {"Ready"}
    assert {p["reason"] for s in node.statuses for p in s["policies"]}.isdisjoint({"KubeletUnreachable", "NotOffered"})


@pytest.mark.parametrize("seconds", [5, 15, 25, 300])
@pytest.mark.parametrize(
    ("config", "withheld"), [(FAST, ["fast"]), (BOTH, ["fast"]), (BOTH, ["slow"]), (BOTH, ["fast", "slow"])]
)
async def test_silence_clears_nothing_that_is_not_offered(
    fake_node: type[FakeNode], config: NodeConfig, withheld: list[str], seconds: int
) -> None:
    node, agent = await without(fake_node, config, *withheld)
    node.kubelet_away = True
    await rounds(node, agent, seconds)
    well = SILENT if seconds > 20 else READY
    assert states(node) == {p.name: NOT_OFFERED if p.name in withheld else well for p in config.policies}
    assert node.ready() == ("False", "NotOffered")
    for policy in config.policies:
        assert (ready(node, policy)[0] == "True") is (states(node)[policy.name] == READY)


@pytest.mark.parametrize("silent", [0, 5, 30])
async def test_what_was_not_offered_is_not_ready_because_the_kubelet_was_restarted(
    fake_node: type[FakeNode], silent: int
) -> None:
    node, agent = await without(fake_node, BOTH, "fast")
    for _ in range(3):
        node.kubelet_away = True
        await rounds(node, agent, silent)
        node.kubelet_away, node.kubelet = False, node.kubelet + 1
        await rounds(node, agent, 15)
        assert states(node) == {"fast": NOT_OFFERED, "slow": READY}
    told = histories(node, "fast")
    assert "Ready" not in told[told.index("Failed") :]
    node.offer = None
    await rounds(node, agent, 5)
    assert states(node) == {"fast": READY, "slow": READY}


async def test_a_policy_without_pools_does_not_depend_on_the_kubelet(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(0))
    agent = node.agent(TALKATIVE)
    node.kubelet_away = True
    await rounds(node, agent, 60)
    assert states(node) == {"fast": READY}


@pytest.mark.parametrize("config", [asked("a.example", fast="0-3"), asked("b.example", fast="0-1", slow="2-3")])
async def test_a_policy_whose_resources_are_not_allowed_here_stays_rejected(
    fake_node: type[FakeNode], config: NodeConfig
) -> None:
    node = fake_node()
    node.ask(config)
    agent = node.agent(TALKATIVE)
    for away in (False, True):
        node.kubelet_away = away
        await rounds(node, agent, 60)
        assert {state for state, _ in states(node).values()} == {"Rejected"}


# --- the rollout ----------------------------------------------------------------------------------------------------


def unknown(fleet: Fleet, node: str, **states: Any) -> None:
    """A node whose kubelet is silent says so for its policies that would be Ready."""
    fleet.says(node, **states)
    for outcome in fleet.nodes[node]["status"]["policies"]:
        if outcome["state"] == "Changing":
            outcome |= {"reason": "KubeletUnreachable", "message": "no kubelet"}
    fleet.look()


@pytest.mark.parametrize("silent", ["Failed", "Changing"])
def test_a_rollout_that_a_node_has_stopped_does_not_go_on_when_its_kubelet_falls_silent(silent: str) -> None:
    fleet = Fleet({"n1": "a", "n2": "a"})
    edited(fleet, "a")
    unknown(fleet, "n1", a="Failed")
    for _ in range(3):
        unknown(fleet, "n1", a=silent)
        fleet.says("n2", disruptive=True, a="Changing")
        fleet.look(120)
        assert "n2" not in fleet.turns
        assert fleet.rollout("a")["stoppedBy"] == "n1"


@pytest.mark.parametrize("seconds", [10, 60, 600])
def test_a_node_keeps_its_turn_until_its_kubelet_answers_again(seconds: int) -> None:
    fleet = Fleet({"n1": "a", "n2": "a"})
    edited(fleet, "a")
    fleet.says("n2", disruptive=True, a="Changing")
    unknown(fleet, "n1", a="Changing")
    fleet.look(seconds)
    assert fleet.turns == ["n1"]
    assert fleet.problem("a", "n1") == ""
    for _ in range(2):
        fleet.says("n1")
        fleet.look()
    assert fleet.turns == ["n2"]


@pytest.mark.parametrize("states", [{"n1": "Changing"}, {"n1": "Changing", "n2": "Changing"}])
def test_a_node_without_a_turn_whose_kubelet_is_silent_holds_up_no_other(states: dict[str, str]) -> None:
    fleet = Fleet({"n1": "a", "n2": "a", "n3": "a"})
    for node in fleet.nodes:
        fleet.says(node)
    fleet.look()
    fleet.edit("a")
    fleet.look()
    for node, state in states.items():
        unknown(fleet, node, a=state)
    fleet.says("n3", disruptive=True, a="Changing")
    fleet.look()
    assert fleet.turns == ["n3"]
