"""A watch may be behind what the agent knows: an older spec of the same object is not carried out again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

OLD: dict[str, Any] = {
    "a turn that was taken back": lambda node: node.ask(node.config(2), may_change=True),
    "another number": lambda node: node.ask(node.config(4), may_change=True),
    "another driver": lambda node: node.ask(node.config(2, "igbvf"), may_change=True),
    "nothing": lambda node: node.ask(node.config(0), may_change=True),
    "no spec yet": lambda node: node.body,
}


@pytest.mark.parametrize("old", OLD.values(), ids=OLD)
async def test_an_event_of_an_older_generation_is_ignored(fake_node: type[FakeNode], old: Any) -> None:
    node = fake_node("igbvf", "igbvf")
    agent = node.agent()
    late = old(node)
    agent.see(node.ask(node.config(2), may_change=False))
    await agent.turn()
    agent._woken.clear()
    agent._read_again_at = float("inf")
    agent.see(late)
    assert not agent._woken.is_set()
    await agent.turn()
    assert node.ready() == ("False", "WaitingForTurn")
    assert node.drivers == ["igbvf", "igbvf"]
    assert node.status["observedGeneration"] == node.body["metadata"]["generation"]


async def test_a_later_generation_is_obeyed_after_a_late_event(fake_node: type[FakeNode]) -> None:
    node = fake_node("igbvf", "igbvf")
    agent = node.agent()
    late = node.ask(node.config(4))
    agent.see(node.ask(node.config(2), may_change=False))
    agent._read_again_at = float("inf")
    agent.see(late)
    agent.see(node.ask(node.config(2), may_change=True))
    await agent.turn()
    assert node.drivers == ["vfio-pci", "vfio-pci"]


async def test_a_store_that_went_back_is_obeyed_once_it_is_read(fake_node: type[FakeNode]) -> None:
    node = fake_node("igbvf", "igbvf")
    agent = node.agent()
    restored = node.ask(node.config(2), may_change=True)
    agent.see(node.ask(node.config(2), may_change=False))
    await agent.turn()
    assert node.drivers == ["igbvf", "igbvf"]
    node.body = restored
    agent._read_again_at = 0.0
    await agent.turn()
    assert node.drivers == ["vfio-pci", "vfio-pci"]
    assert node.status["observedGeneration"] == restored["metadata"]["generation"]
    agent._read_again_at = float("inf")
    agent.see(node.ask(node.config(0)))  # the generation that it had before, of another spec
    await agent.turn()
    assert node.drivers == []


@pytest.mark.parametrize("generation", [1, 2])
async def test_an_object_that_was_made_anew_begins_at_the_first_generation(
    fake_node: type[FakeNode], generation: int
) -> None:
    node = fake_node("igbvf", "igbvf")
    agent = node.agent()
    for _ in range(3):
        agent.see(node.ask(node.config(2), may_change=False))
    await agent.turn()
    asked = node.ask(node.config(2), may_change=True)
    node.body = {**asked, "metadata": {"name": "n1", "uid": "another", "generation": generation}}
    agent._read_again_at = float("inf")
    agent.see(node.body)
    await agent.turn()
    assert node.drivers == ["vfio-pci", "vfio-pci"]
