"""What `plan` says where a turn does not come, nothing may be disturbed, or there is too much to tell one by one."""

from __future__ import annotations

import json

import pytest

from virtfn_kubectl.judge.foreseen import Foreseen, NodeForeseen, PolicyForeseen, TurnForeseen
from virtfn_kubectl.judge.verdict import Stand, Verdict
from virtfn_kubectl.read.preview import NodeAnswer, PfSeen
from virtfn_kubectl.tell.foreseen_document import foreseen_document
from virtfn_kubectl.tell.foreseen_text import foreseen_text
from virtfn_operator.controller.rollout import Rollout

CHANGING = Verdict(stand=Stand.CHANGING, reason="WaitingForTurn", message="1 of 2 nodes changing")


def answer(*steps: str, hindered: str = "") -> NodeAnswer:
    part = PfSeen(
        pf="0000:3b:00.0",
        policies=("fast",),
        steps=steps,
        displaces=("0000:3b:10.0",),
        calm=False,
        blocked=(),
        later=(),
    )
    return NodeAnswer(status={}, pfs=(part,), evict=(), hindered=hindered)


def plan(*nodes: NodeForeseen, rollout: Rollout | None = None, others: int = 0) -> Foreseen:
    policy = PolicyForeseen(
        name="fast", change="changed", verdict=CHANGING, matching=len(nodes), rollout=rollout or Rollout()
    )
    return Foreseen(policies=(policy,), nodes=nodes, others=others)


def test_a_rollout_that_a_failure_stops_names_the_node() -> None:
    held = TurnForeseen(held="the rollout of policy fast is stopped: node b failed in its turn")
    rollout = Rollout(turns=("b",), waiting=("a",), stopped_by="b")
    text = foreseen_text(plan(NodeForeseen(name="a", answer=answer("x"), turn=held), rollout=rollout))
    assert "stopped by the failure of node b: no turn for a" in text
    assert "gets no turn for now: the rollout of policy fast is stopped: node b failed in its turn" in text


def test_a_node_where_nothing_may_be_disturbed_says_why() -> None:
    node = NodeForeseen(
        name="a", answer=answer("x", hindered="/dev/vfio cannot be opened"), turn=TurnForeseen(has=True)
    )
    assert "nothing is disturbed there: /dev/vfio cannot be opened" in foreseen_text(plan(node))


def test_many_kinds_of_change_are_counted() -> None:
    nodes = [NodeForeseen(name=f"n{n:02}", answer=answer(f"step {n}")) for n in range(25)]
    text = foreseen_text(plan(*nodes))
    assert "and 5 more kinds of change; --json has all" in text
    assert "step 19" in text
    assert "step 20" not in text


@pytest.mark.parametrize(
    ("others", "says"), [(0, "no node runs the agent"), (1, "nothing changes on 1 node"), (7, "on 7 nodes")]
)
def test_a_plan_that_concerns_no_node_says_so(others: int, says: str) -> None:
    assert says in foreseen_text(plan(others=others))


def test_no_sentence_is_wider_than_a_terminal_of_100_columns() -> None:
    node = NodeForeseen(name="a", unknown="word " * 60)
    assert [line for line in foreseen_text(plan(node)).splitlines() if len(line) > 100] == []


def test_the_document_has_every_field_of_a_node_that_is_not_known() -> None:
    known = NodeForeseen(name="a", answer=answer("x"), turn=TurnForeseen(place=2))
    document = foreseen_document(plan(known, NodeForeseen(name="b", unknown="no answer")))
    json.dumps(document)
    first, second = document["nodes"]
    assert set(first) == set(second)
    assert (second["devices"], second["evict"], second["unknown"], document["stand"]) == (
        None,
        None,
        "no answer",
        "Unknown",
    )
    assert first["turn"] == {"atOnce": False, "place": 2, "held": None}
