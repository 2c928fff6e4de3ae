"""A new process of the agent says Ready of no policy before the kubelet has answered it, unless the last one just did.

The clock is the node's; a round is made every five seconds of it, the longest pause of an agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_operator.agent.loop import Agent
from virtfn_operator.agent.ports import Patience

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

TALKATIVE = Patience(reports=1000)
"""Writes every status at once, because these tests take no time."""

READY, NOT_OFFERED, SILENT = ("Ready", "Converged"), ("Failed", "NotOffered"), ("Changing", "KubeletUnreachable")


def asked() -> NodeConfig:
    """Two policies with VFs of one PF."""
    configs = []
    for name, indexes in {"fast": "0-1", "slow": "2-3"}.items():
        pools = [{"resourceName": name, "indexes": indexes}]
        spec = {"devices": [{"vendor": "8086"}], "virtualFunctions": {"count": 4, "pools": pools}}
        configs.append(policy_config(name=name, uid=name, generation=1, spec=spec))
    return NodeConfig(policies=tuple(config for config in configs if isinstance(config, PolicyConfig)))


async def well(fake_node: type[FakeNode]) -> tuple[FakeNode, Agent]:
    node = fake_node()
    node.ask(asked())
    agent = node.agent(TALKATIVE)
    await agent.turn()
    assert states(node) == {"fast": READY, "slow": READY}
    return node, agent


async def without(fake_node: type[FakeNode], *withheld: str) -> FakeNode:
    """A node that says for some resources that the kubelet does not offer them."""
    node, agent = await well(fake_node)
    offer = dict((await node.offered()).devices)
    node.offer = offer | {f"virtfn.dev/{name}": frozenset[str]() for name in withheld}
    await rounds(node, agent, 6)
    assert states(node) == {name: NOT_OFFERED if name in withheld else READY for name in ("fast", "slow")}
    return node


async def silent(fake_node: type[FakeNode]) -> FakeNode:
    """A node that says that its kubelet does not answer."""
    node, agent = await well(fake_node)
    node.kubelet_away = True
    await rounds(node, agent, 6)
    assert states(node) == {"fast": SILENT, "slow": SILENT}
    return node


async def rounds(node: FakeNode, agent: Agent, number: int) -> None:
    for _ in range(number):
        node.now += 5
        await agent.turn()


def states(node: FakeNode) -> dict[str, tuple[str, str]]:
    return {p["name"]: (p["state"], p["reason"]) for p in node.status["policies"]}


def since(node: FakeNode, told: int) -> set[tuple[str, str]]:
    """How the policy `fast` stood in any status after so many."""
    found = (p for status in node.statuses[told:] for p in status["policies"] if p["name"] == "fast")
    return {(p["state"], p["reason"]) for p in found}


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("missed", [1, 3, 10])
@pytest.mark.parametrize("withheld", [("fast",), ("fast", "slow")])
async def test_what_is_not_offered_is_not_ready_because_a_new_agent_is_not_answered(
    fake_node: type[FakeNode], withheld: tuple[str, ...], missed: int, processes: int
) -> None:
    node = await without(fake_node, *withheld)
    told = len(node.statuses)
    for _ in range(processes):
        agent = node.agent(TALKATIVE)
        node.kubelet_away = True
        await rounds(node, agent, missed)
    node.kubelet_away = False
    await rounds(node, agent, 6)
    assert states(node)["fast"] == NOT_OFFERED
    assert since(node, told) <= {NOT_OFFERED, SILENT}
    assert "True" not in [c["status"] for s in node.statuses[told:] for c in s["conditions"] if c["type"] == "Ready"]
    node.offer = None
    await rounds(node, agent, 1)
    assert states(node) == {"fast": READY, "slow": READY}


async def test_what_is_not_offered_is_told_at_once_when_the_kubelet_answers_a_new_agent(
    fake_node: type[FakeNode],
) -> None:
    node = await without(fake_node, "fast")
    agent = node.agent(TALKATIVE)
    node.kubelet_away = True
    await rounds(node, agent, 1)
    node.kubelet_away = False
    await rounds(node, agent, 1)
    assert states(node) == {"fast": NOT_OFFERED, "slow": READY}


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("missed", [1, 3, 10])
async def test_new_agents_do_not_end_that_it_is_unknown_what_is_offered(
    fake_node: type[FakeNode], missed: int, processes: int
) -> None:
    node = await silent(fake_node)
    told = len(node.statuses)
    for _ in range(processes):
        agent = node.agent(TALKATIVE)
        await rounds(node, agent, missed)
    assert since(node, told) <= {SILENT}
    assert node.ready() == ("Unknown", "KubeletUnreachable")
    node.kubelet_away = False
    await rounds(node, agent, 1)
    assert states(node) == {"fast": READY, "slow": READY}


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("late", [0, 1, 3])
async def test_after_a_silence_it_is_unknown_until_everything_is_offered(
    fake_node: type[FakeNode], late: int, *, anew: bool
) -> None:
    node, agent = await well(fake_node)
    node.kubelet_away = True
    await rounds(node, agent, 6)
    agent = node.agent(TALKATIVE) if anew else agent
    told = len(node.statuses)
    node.kubelet_away, node.kubelet, node.offer = False, 2, {}  # the device plugin is registering
    await rounds(node, agent, late)
    assert since(node, told) <= {SILENT}
    node.offer = None
    await rounds(node, agent, 1)
    assert states(node) == {"fast": READY, "slow": READY}


@pytest.mark.parametrize("boot", [None, "an-earlier-boot"])
async def test_a_kubelet_that_never_answered_in_this_boot_makes_nothing_ready(
    fake_node: type[FakeNode], boot: str | None
) -> None:
    node, told = fake_node(), 0
    node.ask(asked())
    if boot is not None:
        await node.agent(TALKATIVE).turn()
        node.body["status"]["bootId"], told = boot, len(node.statuses)
    node.kubelet_away = True
    for _ in range(3):
        await rounds(node, node.agent(TALKATIVE), 6)
    assert READY not in since(node, told)
    assert states(node) == {"fast": SILENT, "slow": SILENT}
    assert node.ready() == ("Unknown", "KubeletUnreachable")
    node.kubelet_away = False
    await rounds(node, node.agent(TALKATIVE), 1)
    assert states(node) == {"fast": READY, "slow": READY}


async def test_a_kubelet_that_answers_the_first_question_leaves_nothing_unknown(fake_node: type[FakeNode]) -> None:
    node, agent = await well(fake_node)
    await rounds(node, agent, 6)
    assert {p["reason"] for s in node.statuses for p in s["policies"]} == {"Changing", "Converged"}
    assert "KubeletUnreachable" not in node.readies()


@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("missed", [1, 2, 3])
async def test_a_short_restart_of_the_kubelet_under_a_new_agent_is_not_told(
    fake_node: type[FakeNode], missed: int, before: int
) -> None:
    """The agent ends itself when its folder of the kubelet is replaced: then a kubelet has just been restarted."""
    node, agent = await well(fake_node)
    told = len(node.statuses)
    node.kubelet_away = True
    await rounds(node, agent, before)
    agent = node.agent(TALKATIVE)
    await rounds(node, agent, missed)
    node.kubelet_away, node.kubelet, node.offer = False, 2, {}  # the device plugin is registering
    await rounds(node, agent, 1)
    node.offer = None
    await rounds(node, agent, 6)
    assert since(node, told) <= {READY}
    assert {"KubeletUnreachable", "NotOffered"}.isdisjoint(node.readies())


async def test_a_well_policy_is_unknown_after_20_s_under_a_new_agent_too(fake_node: type[FakeNode]) -> None:
    node, _ = await well(fake_node)
    node.kubelet_away = True
    await rounds(node, node.agent(TALKATIVE), 5)
    assert states(node) == {"fast": SILENT, "slow": SILENT}


@pytest.mark.parametrize("away", [False, True])
async def test_a_change_under_a_new_agent_clears_nothing_meanwhile(fake_node: type[FakeNode], *, away: bool) -> None:
    """It reports that it changes something before it asks the kubelet."""
    node = await without(fake_node, "fast")
    told = len(node.statuses)
    node.unbind(2)  # of the other policy
    node.kubelet_away = away
    await rounds(node, node.agent(TALKATIVE), 1)
    assert READY not in since(node, told)


@pytest.mark.parametrize("reason", ["Changing", "Drifted", "VfsInUse"])
async def test_the_last_agent_may_have_said_something_graver_of_the_node(
    fake_node: type[FakeNode], reason: str
) -> None:
    node = await without(fake_node, "fast")
    (ready,) = (c for c in node.body["status"]["conditions"] if c["type"] == "Ready")
    ready["reason"] = reason
    told = len(node.statuses)
    await rounds(node, node.agent(TALKATIVE), 1)
    assert since(node, told) <= {NOT_OFFERED}


async def test_an_agent_that_could_not_read_its_status_at_first_forgets_nothing(fake_node: type[FakeNode]) -> None:
    node = await without(fake_node, "fast")
    agent, body = node.agent(TALKATIVE), node.body
    node.body, node.api_away = {"metadata": body["metadata"]}, True
    await rounds(node, agent, 1)
    node.body, node.api_away = body, False
    told = len(node.statuses)
    await rounds(node, agent, 1)
    assert READY not in since(node, told)


@pytest.mark.parametrize(
    "policies", [None, 7, "Failed", {}, [None], [7, "x"], [{}], [{"reason": ["NotOffered"], "state": {}}], [[]] * 3]
)
async def test_a_status_that_another_program_wrote_ends_no_agent(fake_node: type[FakeNode], policies: Any) -> None:
    node, _ = await well(fake_node)
    node.body["status"]["policies"] = policies
    await rounds(node, node.agent(TALKATIVE), 1)
    assert states(node) == {"fast": READY, "slow": READY}
