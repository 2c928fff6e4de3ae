"""A repair that somebody undoes again and again: each waits longer, in words that stay, and holds up no other PF."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from virtfn_host.backoff import Allowance
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.agent.damping import LIMIT, Damping, pause_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.operator.conftest import FakeNode

    from virtfn_host.core.values.report import Report, StepResult
    from virtfn_host.core.values.steps import Plan
    from virtfn_operator.agent.machine import NodeMachine


def test_each_repair_waits_twice_as_long_up_to_ten_minutes() -> None:
    assert [pause_after(undoings) for undoings in range(1, 6)] == [0.0, 1.0, 2.0, 4.0, 8.0]
    assert pause_after(10**6) == LIMIT == 600.0


class Fight:
    """A node, somebody who undoes what is repaired, and clocks that are set by hand."""

    def __init__(self, node: FakeNode) -> None:
        self.node = node
        self.now = 1000.0
        node.ask(node.config(2))
        self.agent = node.agent()
        self.agent._reports = Allowance(burst=10_000, every=1.0)  # its time does not pass here
        self.machine: NodeMachine = self.agent._machine
        self.machine._now = lambda: self.now
        self.machine._wall = lambda: 1_700_000_000.0 + self.now

    async def turn(self, seconds: float = 0.0) -> None:
        self.now += seconds
        await self.agent.turn()

    def undo(self, index: int = 0) -> None:
        self.node.bind(index, "igbvf")

    @property
    def repaired(self) -> bool:
        return self.node.drivers == ["vfio-pci", "vfio-pci"]

    async def undo_and_wait(self) -> float:
        """Seconds until what is undone now is repaired."""
        self.undo()
        began = self.now
        await self.turn(0.1)
        while not self.repaired:
            await self.turn(0.1)
        return self.now - began


@pytest.fixture
async def fight(fake_node: type[FakeNode]) -> Fight:
    found = Fight(fake_node())
    await found.turn()
    await found.turn()
    assert found.repaired
    return found


async def test_the_first_undoing_is_repaired_at_once_and_each_later_one_later(fight: Fight) -> None:
    waits = [await fight.undo_and_wait() for _ in range(6)]
    assert waits == pytest.approx([0.1, 1.1, 2.1, 4.1, 8.1, 16.1], abs=0.25)


async def test_what_waits_is_drifted_and_its_status_does_not_change_meanwhile(fight: Fight) -> None:
    for _ in range(5):
        await fight.undo_and_wait()
    fight.undo()
    await fight.turn(0.1)
    written = len(fight.node.statuses)
    assert fight.node.ready() == ("False", "Drifted")
    message = next(c["message"] for c in fight.node.status["conditions"] if c["type"] == "Ready")
    assert "is on igbvf, wanted vfio-pci" in message
    assert "nothing shows which program" in message
    assert "the next repair is due at 2023-11-1" in message
    for _ in range(20):
        await fight.turn(0.2)
    assert len(fight.node.statuses) == written
    assert fight.node.healthy == 1


async def test_the_turn_that_repairs_comes_when_it_is_due(fight: Fight) -> None:
    for _ in range(4):
        await fight.undo_and_wait()
    fight.undo()
    await fight.turn(0.1)
    pause = await fight.agent.turn()
    fight.now += pause
    await fight.turn(0.01)
    assert fight.repaired


async def test_who_has_it_open_is_named(fight: Fight) -> None:
    for _ in range(3):
        await fight.undo_and_wait()
    fight.undo()
    fight.node.open(1)
    await fight.turn(0.1)
    assert f"{fight.node.vfs[1]}: its vfio device is open" in str(fight.node.status["conditions"])


async def test_an_edit_of_the_policy_ends_it_at_once(fight: Fight) -> None:
    for _ in range(6):
        await fight.undo_and_wait()
    fight.undo()
    await fight.turn(0.1)
    assert not fight.repaired
    wanted = fight.node.config(2)
    edited = replace(wanted, policies=(replace(wanted.policies[0], generation=2),))
    fight.agent.see(fight.node.ask(edited))
    await fight.turn(0.1)
    assert fight.repaired


@pytest.mark.parametrize("may_change", [True, False])
async def test_another_word_of_the_controller_does_not(fight: Fight, may_change: bool) -> None:
    for _ in range(6):
        await fight.undo_and_wait()
    fight.undo()
    await fight.turn(0.1)
    fight.agent.see(fight.node.ask(fight.node.config(2), may_change=may_change))
    await fight.turn(0.1)
    assert not fight.repaired


async def test_a_repair_that_lasts_a_minute_ends_it(fight: Fight) -> None:
    for _ in range(6):
        await fight.undo_and_wait()
    await fight.turn(61.0)
    assert await fight.undo_and_wait() < 0.3


async def test_undoing_before_anybody_looks_counts_too(fight: Fight) -> None:
    undone = 0

    def at_once() -> None:
        nonlocal undone
        if fight.repaired:
            undone += 1
            fight.undo()

    apply = fight.node.apply

    async def applied(plan: Plan, on_result: Callable[[StepResult], None]) -> Report:
        report = await apply(plan, on_result)
        at_once()
        return report

    fight.node.apply = applied  # type: ignore[method-assign]
    fight.undo()
    for _ in range(600):
        await fight.turn(0.1)
    assert undone <= 8


async def test_another_pf_is_not_held_up(fight: Fight) -> None:
    for _ in range(6):
        await fight.undo_and_wait()
    fight.undo()
    found = await fight.machine.look(fight.node.config(2))
    assert [blocked.reason for blocked in found.plan.blocked] == [Reason.DRIFTED]
    assert found.plan.steps == ()
    assert found.plan.displaces == ()
    assert [blocked.displaces for blocked in found.plan.blocked] == [(fight.node.vfs[0],)]
    assert found.repair_in is not None


async def test_a_fight_with_the_chart_s_own_pace_is_quiet(fake_node: type[FakeNode]) -> None:
    from virtfn_operator.agent.ports import Patience

    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent(Patience())
    running = asyncio.create_task(agent.run())
    until = asyncio.get_running_loop().time() + 1.5
    while asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.02)
        if node.drivers == ["vfio-pci", "vfio-pci"] and node.status.get("conditions") and node.ready()[0] == "True":
            node.bind(0, "igbvf")
            agent.stir()
    agent.stop()
    await running
    assert len(node.statuses) <= 10


async def test_nothing_is_remembered_of_a_pf_that_is_gone(fight: Fight) -> None:
    found = await fight.machine.look(fight.node.config(2))
    damping = Damping()
    damping.judge(found, now=0.0, wall=0.0)
    assert len(damping._fights) == 1
    gone = replace(found.observation, inventory=replace(found.inventory, functions=()))
    damping.judge(replace(found, observation=gone), now=1.0, wall=1.0)
    assert damping._fights == {}
