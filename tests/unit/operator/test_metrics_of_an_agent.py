"""A scrape of an agent: what its last round found, and what the host process did for it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, get_args

import pytest
from scraped import Series, by, exported, names_of, scrape

from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Step
from virtfn_host.metrics import AGENT, STEPS
from virtfn_operator.agent.figures import NO_FIGURES, STATES, Figures, figures
from virtfn_operator.agent.loop import Agent
from virtfn_operator.agent.metrics import measured
from virtfn_operator.agent.report import StatusFacts


@asynccontextmanager
async def told(agent: Agent, port: int, now: float = 1000.0) -> AsyncIterator[Callable[[], Any]]:
    machine: Any = agent._machine
    made = lambda: measured(agent, machine, node="n1", version="1.2.3", now=now, wall=2e9)  # noqa: E731
    async with exported(port, made):
        yield lambda: scrape(port)


async def turned(agent: Agent) -> None:
    await agent.turn()
    agent.last_turn = 990.0
    agent.turns.took(0.2)


def functions(found: dict[str, Series], pool: str = "virtfn.dev/fast") -> dict[str, float]:
    values = by(found["virtfn_functions"], "node", "pool", "state")
    assert {node for node, _, _ in values} == {"n1"}
    return {state: value for (_, name, state), value in values.items() if name == pool}


async def test_a_scrape_has_every_metric_of_an_agent_and_no_other(fake_node: Any, unused_tcp_port: int) -> None:
    node = fake_node("vfio-pci", "vfio-pci")
    node.ask(node.config(2))
    agent = node.agent()
    await turned(agent)
    await turned(agent)
    node.hold(0)
    agent.see(node.ask(node.config(4)))
    await turned(agent)
    async with told(agent, unused_tcp_port) as now:
        found = await now()
    assert set(found) == names_of(AGENT)
    assert found["virtfn_build_info"] == {(("process", "agent"), ("version", "1.2.3")): 1}
    assert found["virtfn_last_turn_timestamp_seconds"] == {(): 2e9 - 10}
    assert by(found["virtfn_blocked"], "reason") == {("VfsInUse",): 1}
    assert found["virtfn_in_use"] == {(): 1}


async def test_functions_are_told_by_pool_and_state(fake_node: Any, unused_tcp_port: int) -> None:
    node = fake_node()
    node.ask(node.config(4))
    agent = node.agent()
    await turned(agent)
    node.hold(1)
    node.unbind(2)
    await turned(agent)
    async with told(agent, unused_tcp_port) as now:
        found = await now()
    assert functions(found) == {"free": 3, "inUse": 1, "unhealthy": 0, "inUseUnhealthy": 0}
    assert found["virtfn_in_use"] == {(): 1}
    assert by(found["virtfn_offered"], "resource") == {("virtfn.dev/fast",): 4}


async def test_a_pool_that_is_gone_has_no_series(fake_node: Any, unused_tcp_port: int) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    async with told(agent, unused_tcp_port) as now:
        await turned(agent)
        assert functions(await now())["free"] == 2
        agent.see(node.ask(node.config(0)))
        await turned(agent)
        await turned(agent)
        found = await now()
    assert "virtfn_functions" not in found
    assert "virtfn_offered" not in found


async def test_steps_are_counted_by_kind_and_outcome(fake_node: Any, unused_tcp_port: int) -> None:
    node = fake_node()
    node.refuse_bind()
    node.ask(node.config(3))
    agent = node.agent()
    await turned(agent)
    async with told(agent, unused_tcp_port) as now:
        found = await now()
    steps = by(found["virtfn_plan_steps_total"], "step", "outcome")
    assert steps["SetNumVfs", "done"] == 1
    assert steps["Bind", "failed"] == 1
    assert found["virtfn_apply_seconds_count"][()] >= 1


@pytest.mark.parametrize(
    ("happens", "reason", "value"),
    [
        (lambda node: None, Reason.CONVERGED, 1),
        (lambda node: node.write_gets_blocked(), Reason.STUCK, 0),
        (lambda node: setattr(node, "host_away", True), Reason.HOST_UNREACHABLE, 0),
    ],
    ids=["well", "stuck", "no host process"],
)
async def test_one_series_says_whether_the_node_is_ready_and_why(
    fake_node: Any, unused_tcp_port: int, happens: Callable[[Any], None], reason: Reason, value: float
) -> None:
    node = fake_node("vfio-pci")
    node.ask(node.config(1))
    agent = node.agent()
    await turned(agent)
    await turned(agent)
    if reason is Reason.STUCK:
        node.open(0)
    happens(node)
    if reason is Reason.HOST_UNREACHABLE:
        await node.until(agent, lambda: agent.verdict == (reason, False))
    else:
        await turned(agent)
    async with told(agent, unused_tcp_port) as now:
        found = await now()
    assert by(found["virtfn_node_ready"], "reason") == {(str(reason),): value}


async def test_while_the_api_server_is_away_it_says_what_is_so_now(fake_node: Any, unused_tcp_port: int) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await turned(agent)
    node.api_away = True
    node.hold(0)
    await turned(agent)
    async with told(agent, unused_tcp_port) as now:
        found = await now()
    assert functions(found)["inUse"] == 1


def test_a_node_whose_agent_has_seen_nothing_tells_no_verdict(fake_node: Any) -> None:
    agent = fake_node().agent()
    machine: Any = agent._machine
    told = {m.metric.name for m in measured(agent, machine, node="n1", version="1", now=5.0, wall=2e9) if m.values}
    assert told == {"virtfn_build_info", "virtfn_in_use", "virtfn_stuck_seconds", "virtfn_plan_steps_total"}


def test_every_kind_of_step_and_outcome_is_there_from_the_start(fake_node: Any) -> None:
    """Prometheus sees no rise in a counter that begins with its first event."""
    agent = fake_node().agent()
    machine: Any = agent._machine
    (steps,) = [m for m in measured(agent, machine, node="n1", version="1", now=5.0, wall=2e9) if m.metric is STEPS]
    assert len(steps.values) == len(get_args(Step)) * 3
    assert set(steps.values.values()) == {0}
    assert {outcome for _, outcome in steps.values} == {"done", "failed", "notTried"}


@pytest.mark.parametrize("seconds", [0.0, 5.0, 70.0])
async def test_a_blocked_write_is_told_from_its_first_sight_on(
    fake_node: Any, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Of another program's unbind it is not known how long it has hung: each look says 0."""
    node = fake_node("vfio-pci")
    node.ask(node.config(1))
    agent = node.agent()
    seen: list[StatusFacts] = []

    def watched(facts: StatusFacts, before: Figures, now: float) -> Figures:
        seen.append(facts)
        return figures(facts, before, now)

    monkeypatch.setattr("virtfn_operator.agent.loop.figures", watched)
    node.open(0)
    node.write_gets_blocked()
    await agent.turn()
    facts = seen[-1]
    stuck = facts.found.observation.stuck
    assert stuck is not None
    observation = replace(facts.found.observation, stuck=replace(stuck, seconds=seconds))
    facts = replace(facts, found=replace(facts.found, observation=observation))
    first = figures(facts, NO_FIGURES, 1000.0)
    later = figures(facts, first, 1080.0)
    assert later.stuck_since == 1000.0 - seconds
    well = replace(facts, found=replace(facts.found, observation=replace(observation, stuck=None)))
    assert figures(well, later, 1090.0).stuck_since is None


def test_the_states_are_a_closed_list() -> None:
    assert STATES == ("free", "inUse", "unhealthy", "inUseUnhealthy")
