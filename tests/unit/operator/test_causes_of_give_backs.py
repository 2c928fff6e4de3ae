"""Whatever is given back, and whatever else happens at the time: the condition and one event name the cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_operator.api import NODE_KIND
from virtfn_operator.api.conditions import READY, find, read_conditions, transitions
from virtfn_operator.apiserver.events import event

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

    from virtfn_operator.agent.loop import Agent

GONE = "was deleted, or its nodeSelector or this node's labels changed"
LONG = {letter: f"{letter}{'-long-name' * 25}-x" for letter in "abc"}
"""Names as long as the API server allows."""


def pf(number: int) -> PciAddress:
    return PciAddress(0, number, 0, 0)


def policy(name: str, *pfs: int, generation: int = 1, **more: Any) -> PolicyConfig:
    spec = {
        "devices": [{"address": str(pf(number))} for number in pfs],
        "virtualFunctions": {"count": 3, "pools": [{"resourceName": f"r{pfs[0]}{more.get('indexes', '')}", **more}]},
    }
    made = policy_config(name=name, uid=f"uid-{name[:20]}", generation=generation, spec=spec)
    assert isinstance(made, PolicyConfig), made
    return made


def at(*policies: PolicyConfig) -> list[int]:
    return sorted(m.address.bus for one in policies for m in one.devices if m.address is not None)


async def carried_out(node: FakeNode, *policies: PolicyConfig) -> Agent:
    """Return the agent of a node that has carried out these policies on PFs of theirs; the first one is there."""
    for number in {*at(*policies)} - {1}:
        node.kernel.add_pf(pf(number))
    node.ask(NodeConfig(policies=policies))
    agent = node.agent()
    for _ in range(3):
        await agent.turn()
    assert node.ready() == ("True", "Converged")
    node.statuses[:-1] = []
    return agent


async def ask(node: FakeNode, agent: Agent, *policies: PolicyConfig, turns: int = 3) -> None:
    agent.see(node.ask(NodeConfig(policies=policies)))
    for _ in range(turns):
        await agent.turn()


def events(node: FakeNode) -> list[tuple[str, str]]:
    """Reason and note of every event of the condition Ready, as the API server gets it."""
    told, old = [], read_conditions({})
    for status in node.statuses:
        new = read_conditions(status)
        for change in transitions(old, new) if old else ():
            if change.new.type == READY:
                made = event(node.body, NODE_KIND, change, instance="i", now="t")
                told.append((made["reason"], made["note"]))
        old = new
    return told


def condition(node: FakeNode) -> str:
    ready = find(read_conditions(node.status), READY)
    assert ready is not None
    return ready.message


def numbers(node: FakeNode, *pfs: int) -> list[int]:
    return [len(node.host.machine.sysfs.vf_addresses(pf(number))) for number in pfs]


def clause(name: str, *pfs: int, more: int = 0) -> str:
    whom = ", ".join(str(pf(number)) for number in pfs) + (f" and {more} more" if more else "")
    return f"{whom} {'is' if len(pfs) == 1 else 'are'} given back, all or in part: policy {name} {GONE}"


# --- one cause and several -------------------------------------------------------------------------------------------

ALPHA, BETA, GAMMA = policy("alpha", 1), policy("beta", 2), policy("gamma", 3)
LEFT: dict[str, tuple[list[PolicyConfig], list[PolicyConfig], list[str]]] = {
    "one": ([ALPHA], [GAMMA], [clause("alpha", 1)]),
    "two at once": ([ALPHA, BETA], [GAMMA], [clause("alpha", 1), clause("beta", 2)]),
    "three of five PFs": (
        [policy("alpha", 1, 4), policy("beta", 2), policy("gamma", 3, 5)],
        [],
        [clause("alpha", 1, 4), clause("beta", 2), clause("gamma", 3, 5)],
    ),
    "one of forty PFs": ([policy("alpha", *range(1, 41))], [], [clause("alpha", 1, 2, 3, more=37)]),
    "two of forty PFs": (
        [policy("alpha", *range(1, 41, 2)), policy("beta", *range(2, 41, 2))],
        [],
        [clause("alpha", 1, 3, 5, more=17), clause("beta", 2, 4, 6, more=17)],
    ),
    "a very long name": ([policy(LONG["a"], 1)], [], [clause(LONG["a"], 1)]),
}


@pytest.mark.parametrize(("ended", "left", "told"), LEFT.values(), ids=LEFT.keys())
async def test_one_event_names_each_cause_with_its_pfs(
    fake_node: type[FakeNode], ended: list[PolicyConfig], left: list[PolicyConfig], told: list[str]
) -> None:
    node = fake_node()
    agent = await carried_out(node, *ended, *left)
    await ask(node, agent, *left)
    (changing, note), (converged, _) = events(node)
    assert (changing, converged) == ("Changing", "Converged")
    assert note.startswith(f"Ready is False: {'; '.join(told)}; ")
    assert note.endswith(" steps to do")
    assert numbers(node, *at(*ended)) == [0] * len(at(*ended))
    assert numbers(node, *at(*left)) == [3] * len(at(*left))


MANY: dict[str, tuple[list[PolicyConfig], int]] = {
    "three very long names": ([policy(LONG[name], at) for at, name in enumerate("abc", 1)], 2),
    "a very long name before a short one": ([policy(LONG["a"], 1), BETA], 2),
    "forty causes of forty PFs": ([policy(f"policy-{at}", at) for at in range(1, 41)], 6),
}


@pytest.mark.parametrize(("ended", "named"), MANY.values(), ids=MANY.keys())
async def test_causes_without_room_are_counted_and_what_is_to_be_done_is_still_said(
    fake_node: type[FakeNode], ended: list[PolicyConfig], named: int
) -> None:
    node = fake_node()
    agent = await carried_out(node, *ended)
    await ask(node, agent)
    (_, note), _ = events(node)
    assert [one.name for one in ended if f"policy {one.name} {GONE}" in note] == [one.name for one in ended[:named]]
    rest = len(ended) - named
    assert (f" (and {rest} more); " in note) == (rest > 0)
    assert note.endswith(" steps to do")


async def test_causes_of_one_pf_without_room_are_cut_and_what_is_to_be_done_is_still_said(
    fake_node: type[FakeNode],
) -> None:
    node = fake_node()
    agent = await carried_out(node, *(policy(LONG[name], 1, indexes=str(at)) for at, name in enumerate("abc")))
    await ask(node, agent)
    (_, note), _ = events(node)
    assert [name for name in "abc" if f"policy {LONG[name]} {GONE}" in note] == ["a", "b"]
    assert "…; " in note
    assert note.endswith(" steps to do")


# --- beside a drift --------------------------------------------------------------------------------------------------


async def test_a_drift_at_the_same_time_is_told_in_the_same_event(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    agent = await carried_out(node, ALPHA, BETA)
    vf = node.vfs[0]
    node.unbind(0)
    await ask(node, agent, ALPHA)
    (drifted, note), (converged, _) = events(node)
    assert (drifted, converged) == ("Drifted", "Converged")
    assert clause("beta", 2) in note
    assert f"; {vf}: " in note
    assert note.endswith("; it is being repaired")
    assert numbers(node, 1, 2) == [3, 0]


async def fight(node: FakeNode, agent: Agent) -> None:
    """Have the first PF changed again and again, until it waits."""
    for _ in range(4):
        node.bind(0, "igbvf")
        await agent.turn()
    assert node.ready() == ("False", "Drifted")
    node.statuses[:-1] = []


@pytest.mark.parametrize("due", [False, True])
async def test_where_a_drift_was_told_before_the_give_back_has_an_event_of_its_own(
    fake_node: type[FakeNode], due: bool
) -> None:
    node = fake_node()
    agent = await carried_out(node, ALPHA, BETA)
    await fight(node, agent)
    node.now += 30.0 if due else 0.0
    await ask(node, agent, ALPHA, turns=1)
    told = events(node)
    assert [reason for reason, _ in told] == ["Changing", "Converged" if due else "Drifted"]
    assert clause("beta", 2) in told[0][1]
    assert numbers(node, 1, 2) == [3, 0]


async def test_a_drift_that_is_repaired_while_a_give_back_waits_names_its_cause(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    agent = await carried_out(node, ALPHA, policy("beta", 2))
    held = node.host.machine.sysfs.vf_addresses(pf(2))[0]
    node.kernel.open_device(held)
    await ask(node, agent, ALPHA)
    assert node.ready() == ("False", "VfsInUse")
    assert clause("beta", 2) in condition(node)
    node.unbind(0)
    await agent.turn()
    assert [reason for reason, _ in events(node)] == ["VfsInUse", "Drifted", "VfsInUse"]
    assert all(clause("beta", 2) in note for _, note in events(node))
    node.kernel.close_device(held)
    await agent.turn()
    assert [reason for reason, _ in events(node)][3:] == ["Changing", "Converged"]
    assert clause("beta", 2) in events(node)[3][1]


# --- whatever it waits for -------------------------------------------------------------------------------------------


async def test_a_give_back_that_fails_still_has_its_cause_in_the_condition(fake_node: type[FakeNode]) -> None:
    node = fake_node("igbvf", "igbvf")
    agent = await carried_out(node, ALPHA)
    node.refuse_bind()
    await ask(node, agent, turns=1)
    assert node.ready() == ("False", "BindFailed")
    assert clause("alpha", 1) in condition(node)


async def test_a_give_back_whose_pf_waits_for_a_repair_has_its_cause_in_the_condition(
    fake_node: type[FakeNode],
) -> None:
    node = fake_node()
    shared = [policy("alpha", 1, indexes="0"), policy("beta", 1, indexes="1")]
    agent = await carried_out(node, *shared)
    node.open(1)  # the claim of beta stays noted
    await ask(node, agent, shared[0], turns=1)
    assert node.ready() == ("False", "VfsInUse")
    for _ in range(4):
        node.bind(0, "igbvf")
        await agent.turn()
    assert node.ready() == ("False", "Drifted")
    assert clause("beta", 1) in condition(node)


async def test_a_policy_that_is_edited_and_keeps_its_pf_is_no_cause(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    agent = await carried_out(node, ALPHA, BETA)
    await ask(node, agent, ALPHA, policy("beta", 2, generation=2, driver="kernel"))
    assert [reason for reason, _ in events(node)] == ["Changing", "Converged"]
    assert not any("given back" in note for _, note in events(node))
