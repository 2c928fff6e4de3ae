"""The agent has kept for the next boot what a fresh look verified, and only that."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from virtfn_host.core.values.desired import NodeConfig
from virtfn_host.core.values.kept import KeptConfig
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux.act.kept import read_kept
from virtfn_host.process.client import HostRefused

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.operator.conftest import FakeNode


def file(node: FakeNode) -> Path:
    return node.host.machine.journal.path.with_name("config.json")


def cards(node: FakeNode) -> list[str]:
    found = read_kept(file(node))
    return [str(card.address) for card in found.cards] if found else []


async def test_a_config_that_was_carried_out_is_kept(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    await node.agent().turn()
    kept = read_kept(file(node))
    assert kept is not None
    assert kept.config == node.config(2)
    assert cards(node) == [str(node.pf.address)]


async def test_a_pf_that_could_not_be_made_is_not_kept_and_is_when_it_was(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    node.kernel.fail["sriov_numvfs"] = errno.ENOSPC
    agent = node.agent()
    await agent.turn()
    assert cards(node) == []
    await agent.turn()
    assert cards(node) == [str(node.pf.address)]


async def test_while_a_change_waits_for_a_pod_nothing_of_it_is_kept(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    node.hold(0)
    agent.see(node.ask(node.config(3)))
    await agent.turn()
    assert cards(node) == []
    node.release()
    await agent.turn()
    assert cards(node) == [str(node.pf.address)]


async def test_when_the_policy_ends_nothing_is_left_to_make(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    agent.see(node.ask(NodeConfig(policies=())))
    await agent.turn()
    assert cards(node) == []
    kept = read_kept(file(node))
    assert kept is not None
    assert kept.config.policies == ()


async def test_another_look_at_the_same_asks_nothing(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    file(node).unlink()
    await agent.turn()
    assert not file(node).exists()
    await node.agent().turn()  # another process asks once
    assert cards(node) == [str(node.pf.address)]


async def test_a_vf_that_drifts_leaves_what_was_verified(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2), may_change=False)
    agent = node.agent()
    await agent.turn()
    node.bind(0, "igbvf")
    await agent.turn()
    assert cards(node) == [str(node.pf.address)]


async def test_a_host_that_cannot_keep_it_is_told_once_and_asked_again(
    fake_node: type[FakeNode], caplog: pytest.LogCaptureFixture
) -> None:
    node = fake_node()
    node.ask(node.config(2))
    asked: list[KeptConfig] = []

    async def refusing(kept: KeptConfig) -> None:
        asked.append(kept)
        raise HostRefused(Reason.UNREADABLE, "config.json cannot be written: No space left on device")

    node.keep = refusing  # type: ignore[method-assign]
    agent = node.agent()
    for _ in range(3):
        await agent.turn()
    assert len(asked) == 3
    assert caplog.text.count("the config is not kept for the next boot") == 1
    assert node.ready() == ("True", "Converged")


async def test_without_a_spec_nothing_is_asked(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    await node.agent().turn()
    assert not file(node).exists()
