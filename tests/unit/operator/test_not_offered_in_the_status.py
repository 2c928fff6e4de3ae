"""The agent asks the kubelet in each round: a difference that lasts is in the status within 30 s and gone within 10 s.

The clock is the node's; a round is made every five seconds of it, the longest pause of an agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from virtfn_host.core.values.offered import Registration, Registrations
from virtfn_operator.agent.loop import Agent
from virtfn_operator.agent.not_offered import PluginReport
from virtfn_operator.agent.ports import Patience
from virtfn_operator.apiserver.kube_error import KubeError

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

FAST = "virtfn.dev/fast"
ROUND = 5.0


async def converged(fake_node: type[FakeNode], count: int = 2) -> tuple[FakeNode, Agent]:
    node = fake_node()
    node.ask(node.config(count))
    agent = node.agent()
    await agent.turn()
    assert node.ready() == ("True", "Converged")
    return node, agent


async def rounds(node: FakeNode, agent: Agent, seconds: float) -> None:
    for _ in range(int(seconds / ROUND)):
        node.now += ROUND
        await agent.turn()


async def until(node: FakeNode, agent: Agent, verdict: tuple[str, str], limit: float) -> float:
    """The seconds until the Ready condition says so."""
    began = node.now
    while node.ready() != verdict:
        await rounds(node, agent, ROUND)
        assert node.now - began <= limit, node.ready()
    return node.now - began


def pool(node: FakeNode) -> dict[str, Any]:
    (found,) = node.status["pools"]
    return dict(found)


def message(node: FakeNode) -> str:
    return str(next(c["message"] for c in node.status["conditions"] if c["type"] == "Ready"))


def some(node: FakeNode, number: int) -> dict[str, frozenset[str]]:
    return {FAST: frozenset(map(str, node.vfs[:number]))}


def test_an_agent_makes_a_round_at_least_every_five_seconds() -> None:
    patience = Patience()
    assert max(patience.idle * 1.2, patience.in_use, patience.blocked, patience.retry_limit) <= ROUND


@pytest.mark.parametrize("offered", [0, 1])
async def test_a_difference_is_told_within_30_s_and_gone_within_10(fake_node: type[FakeNode], offered: int) -> None:
    node, agent = await converged(fake_node)
    node.offer = some(node, offered)
    await until(node, agent, ("False", "NotOffered"), 30)
    assert f"{FAST}: published 2, the kubelet offers {offered}" in message(node)
    assert "the device plugin does not run on this node" in message(node)
    assert (pool(node)["healthy"], pool(node)["offered"]) == (2, offered)
    (policy,) = node.status["policies"]
    assert (policy["state"], policy["reason"]) == ("Failed", "NotOffered")
    node.offer = None
    await until(node, agent, ("True", "Converged"), 10)
    assert node.status["policies"][0]["state"] == "Ready"
    assert pool(node)["offered"] == 2


async def test_a_function_that_the_kubelet_goes_on_offering_is_told_too(fake_node: type[FakeNode]) -> None:
    node, agent = await converged(fake_node)
    serves = Registration(resource_name=FAST, registered=True, since=990.0, refusal="")
    node.plugin_says = PluginReport(told=Registrations(boot_id=node.boot_id, registrations=(serves,)))
    node.offer = some(node, 2)
    agent.see(node.ask(node.config(0)))
    await until(node, agent, ("False", "NotOffered"), 30)
    assert message(node).startswith(f"{FAST}: published 0, the kubelet offers 2 (")


async def test_the_status_has_what_the_device_plugin_says(fake_node: type[FakeNode]) -> None:
    node, agent = await converged(fake_node)
    node.offer = {}
    refused = Registration(resource_name=FAST, registered=False, since=990.0, refusal="the endpoint is stopped")
    node.plugin_says = PluginReport(told=Registrations(boot_id=node.boot_id, registrations=(refused,)))
    await until(node, agent, ("False", "NotOffered"), 30)
    assert "not been registered" in message(node)
    assert "last refusal: the endpoint is stopped" in message(node)


async def test_what_was_told_stays_word_for_word_and_is_written_once(fake_node: type[FakeNode]) -> None:
    node, agent = await converged(fake_node)
    node.offer = {}
    await until(node, agent, ("False", "NotOffered"), 30)
    before = list(node.statuses)
    await rounds(node, agent, 100)
    assert node.statuses == before


@pytest.mark.parametrize("seconds", [5, 10, 15])
async def test_a_moment_without_the_functions_is_no_alarm(fake_node: type[FakeNode], seconds: int) -> None:
    """As after an upgrade of the plugin, or a pool that was published a moment ago."""
    node, agent = await converged(fake_node)
    for _ in range(5):
        node.offer = {}
        await rounds(node, agent, seconds)
        node.offer = None
        await rounds(node, agent, 5)
    assert "NotOffered" not in node.readies()


async def test_a_pool_that_was_published_a_moment_ago_is_no_alarm(fake_node: type[FakeNode]) -> None:
    node, agent = await converged(fake_node)
    node.offer = some(node, 2)  # what the kubelet offers lags behind
    agent.see(node.ask(node.config(4)))
    await rounds(node, agent, 15)
    node.offer = None
    await rounds(node, agent, 60)
    assert "NotOffered" not in node.readies()
    assert pool(node)["offered"] == 4


async def test_after_a_restart_of_the_kubelet_the_time_starts_anew(fake_node: type[FakeNode]) -> None:
    node, agent = await converged(fake_node)
    node.offer = {}
    await rounds(node, agent, 15)
    node.kubelet = 2
    await rounds(node, agent, 20)
    assert "NotOffered" not in node.readies()
    await until(node, agent, ("False", "NotOffered"), 10)


async def test_a_kubelet_that_does_not_answer_is_told_as_unknown(fake_node: type[FakeNode]) -> None:
    node, agent = await converged(fake_node)
    node.kubelet_away = True
    await rounds(node, agent, 5)
    assert "offered" not in pool(node)
    await until(node, agent, ("Unknown", "KubeletUnreachable"), 30)
    assert message(node) == "it is unknown what the kubelet offers to pods: no kubelet"
    node.kubelet_away = False
    await until(node, agent, ("True", "Converged"), 10)


async def test_a_kubelet_that_misses_a_question_stops_no_clock_and_clears_nothing(fake_node: type[FakeNode]) -> None:
    node, agent = await converged(fake_node)
    node.offer = {}
    for _ in range(5):
        await rounds(node, agent, 5)
        node.kubelet_away = True
        await rounds(node, agent, 5)
        node.kubelet_away = False
    await rounds(node, agent, 5)
    assert node.ready() == ("False", "NotOffered")
    node.kubelet_away = True
    await rounds(node, agent, 5)
    assert node.ready() == ("False", "NotOffered")


async def test_it_hinders_no_change_and_is_told_beside_what_waits(fake_node: type[FakeNode]) -> None:
    node, agent = await converged(fake_node)
    node.offer = {}
    node.hold(0)
    agent.see(node.ask(node.config(4)))
    await until(node, agent, ("False", "NotOffered"), 30)
    assert node.status["plan"]["blocked"][0]["reason"] == "VfsInUse"
    node.release()
    await rounds(node, agent, 5)
    assert len(node.vfs) == 4


async def test_a_new_process_of_the_agent_goes_on_where_the_last_one_ended(fake_node: type[FakeNode]) -> None:
    node, agent = await converged(fake_node)
    node.offer = {}
    await until(node, agent, ("False", "NotOffered"), 30)
    told = len(node.statuses)
    await node.agent().turn()
    assert node.ready() == ("False", "NotOffered")
    assert len(node.statuses) == told


async def test_after_a_reboot_the_time_starts_anew(fake_node: type[FakeNode]) -> None:
    node, agent = await converged(fake_node)
    node.offer = {}
    await until(node, agent, ("False", "NotOffered"), 30)
    node.body["status"]["bootId"] = "an-earlier-boot"
    await node.agent().turn()
    assert node.ready() == ("True", "Converged")


# --- what the Node shows to the scheduler ---------------------------------------------------------------------------


async def test_the_node_is_read_once_after_a_change_and_then_seldom(fake_node: type[FakeNode]) -> None:
    node, agent = await converged(fake_node)
    await rounds(node, agent, 60)
    assert node.node_reads == 1
    agent.see(node.ask(node.config(4)))
    await rounds(node, agent, 60)
    assert node.node_reads == 2
    await rounds(node, agent, 650)
    assert node.node_reads == 4


@pytest.mark.parametrize("shown", [{}, {FAST: 0}, {FAST: 1}])
async def test_a_node_that_shows_less_is_told_within_30_s_and_gone_within_10(
    fake_node: type[FakeNode], shown: dict[str, int]
) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    node.node_shows = shown
    await agent.turn()
    await until(node, agent, ("False", "NotOffered"), 30)
    assert f"the Node's status has {shown.get(FAST, 0)} allocatable" in message(node)
    node.node_shows = None
    await until(node, agent, ("True", "Converged"), 10)


async def test_a_new_process_goes_on_with_what_the_node_shows_too(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    node.node_shows = {FAST: 1}
    await agent.turn()
    await until(node, agent, ("False", "NotOffered"), 30)
    again = node.agent()
    await again.turn()
    assert node.ready() == ("False", "NotOffered")
    node.node_shows = None
    await until(node, again, ("True", "Converged"), 10)


async def test_a_node_that_lags_behind_for_ten_seconds_is_no_alarm(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent, node.node_shows = node.agent(), {}
    await agent.turn()
    await rounds(node, agent, 15)
    node.node_shows = None
    await rounds(node, agent, 60)
    assert "NotOffered" not in node.readies()


async def test_a_node_that_cannot_be_read_says_nothing(
    fake_node: type[FakeNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, agent = await converged(fake_node)
    asked = 0

    async def refused() -> dict[str, int]:
        nonlocal asked
        asked += 1
        raise KubeError(403, "nodes is forbidden")

    monkeypatch.setattr(node, "shown", refused)
    await rounds(node, agent, 150)
    assert node.ready() == ("True", "Converged")
    assert asked == 3
