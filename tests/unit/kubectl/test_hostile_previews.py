"""A hostile answer to a plan costs its own node only: that one is unknown, and what is printed is whole."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from fake_cluster import Answer, Ask
from plan_asked import Body, policy
from plan_law import CONTROLLER, PODS, PlanCluster, PlanFleet

from virtfn_host.cli.paint import When
from virtfn_kubectl.cluster import Ran
from virtfn_kubectl.screen import Screen

Plan = Callable[..., Answer]
PF = {"pf": "0000:01:00.0", "steps": ["a step"], "blocked": [{"device": "x", "reason": "VfsInUse", "message": "m"}]}


class Hostile(PlanCluster):
    """A cluster where the agent of n0 has been taken over."""

    says: Callable[[Body], object]
    """Its answer, made of the honest one; a text is sent as it is."""

    def __call__(self, words: Sequence[str], seconds: float, given: str | None = None) -> Ran:
        done = super().__call__(words, seconds, given)
        if "virtfn-agent-n0" not in words:
            return done
        said = self.says(json.loads(done.out))
        return Ran(status=0, out=said if isinstance(said, str) else json.dumps(said), err="")


@pytest.fixture
def plan(ask: Ask, tmp_path: Path) -> Iterator[Plan]:
    """Return a function that asks for the plan of a policy on two nodes, the first of which is hostile."""
    fleet = PlanFleet()
    fleet.lists[PODS].append(CONTROLLER)
    for name in ("n0", "n1"):
        fleet.add(name, {}, pfs=1, total_vfs=7)
    asyncio.run(fleet.settle())
    file = tmp_path / "fast.json"
    file.write_text(json.dumps(policy("fast", 2)))

    def of(says: Callable[[Body], object], *words: str) -> Answer:
        cluster = Hostile(fleet, "")
        cluster.says = says
        return ask(cluster, "plan", "-f", str(file), *words)

    yield of
    for node in fleet.nodes.values():
        node.close()


def with_status(honest: Body, **fields: Any) -> Body:
    return {**honest, "status": {**honest["status"], **fields}}


def without(honest: Body, field: str) -> Body:
    return {key: value for key, value in honest.items() if key != field}


NO_ANSWERS: dict[str, Callable[[Body], object]] = {
    "no pfs": lambda it: without(it, "pfs"),
    "pfs null": lambda it: {**it, "pfs": None},
    "pfs an object": lambda it: {**it, "pfs": {"0": PF}},
    "no status": lambda it: without(it, "status"),
    "a list": lambda it: [it],
    "half a pair in a step": lambda it: {**it, "pfs": [{**PF, "steps": ["\ud800"]}]},
    "half a pair in a key": lambda it: with_status(it, **{"\udfff": 1}),
    "half a pair in what hinders": lambda it: {**it, "hindered": "\udcff"},
    "NaN": lambda it: with_status(it, x=float("nan")),
    "an endless number": lambda it: with_status(it, x=float("-inf")),
    "a long number": lambda it: json.dumps(with_status(it, x=77)).replace("77", "7" * 5000),
    "a deep list": lambda it: json.dumps(with_status(it, x=77)).replace("77", "[" * 900 + "]" * 900),
    "a key twice": lambda it: json.dumps(it).replace('"pfs": ', '"pfs": [], "pfs": '),
}

REASONS: dict[str, tuple[object, str]] = {
    "nothing": ({}, "the node gives no reason"),
    "other types": ({"reason": 1, "message": None}, "the node gives no reason"),
    "lists": ({"reason": [], "message": {}}, "the node gives no reason"),
    "empty": ({"reason": "", "message": ""}, "the node gives no reason"),
    "blank": ({"reason": " ", "message": "\n"}, "the node gives no reason"),
    "a reason only": ({"reason": "HostUnreachable"}, "HostUnreachable"),
    "a message only": ({"message": "no host process"}, "no host process"),
}

STATUSES: dict[str, Body] = {
    "policies an object": {"policies": {"a": 1}},
    "a plan that is a text": {"plan": "none"},
    "disruptive a number": {"plan": {"disruptive": 0}},
    "too many rejections": {"rejected": [{}] * 5000},
    "a field of another version": {"needs": ["pools.ofAnotherKind"]},
}

ODD_ANSWERS: dict[str, Callable[[Body, Any], Body]] = {
    "evicted device": lambda it, odd: with_status(
        {**it, "pfs": [PF]}, plan={"disruptive": True, "evict": {"pods": [{"device": odd, "name": "a"}]}}
    ),
    "rejected": lambda it, odd: with_status(it, rejected=[{"policy": odd, "reason": odd, "message": odd}, odd]),
    "Ready": lambda it, odd: with_status(
        {**it, "pfs": []}, conditions=[{"type": "Ready", "status": odd, "reason": odd, "message": odd}]
    ),
    "PF": lambda it, odd: {**it, "pfs": [dict.fromkeys(["pf", "policies", "steps", "displaces", "blocked"], odd)]},
    "wait": lambda it, odd: {**it, "pfs": [{**PF, "blocked": [{"device": odd, "reason": odd, "message": odd}]}]},
    "what is evicted": lambda it, odd: {**it, "evict": odd, "hindered": odd},
}


@pytest.mark.parametrize("says", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_no_answer_makes_its_node_unknown_and_the_other_one_is_told(
    plan: Plan, says: Callable[[Body], object]
) -> None:
    text, document = plan(says), plan(says, "--json").document
    assert text.status == 1
    assert "node n0: Unknown" in text.out
    assert "node n1: 7 steps" in text.out
    hostile, honest = document["nodes"]
    assert document["stand"] == "Unknown"
    assert "not whole" in hostile["unknown"]
    assert honest["unknown"] is None
    assert honest["devices"]


def test_an_answer_that_is_too_long_is_not_asked_for_again(plan: Plan) -> None:
    asked = []

    def says(honest: Body) -> object:
        asked.append(honest)
        raise OSError("it printed more than 5 bytes")

    answer = plan(says, "--json")
    assert (answer.status, len(asked)) == (1, 1)
    assert answer.document["nodes"][0]["unknown"] == "kubectl: it printed more than 5 bytes"


@pytest.mark.parametrize(("error", "why"), REASONS.values(), ids=REASONS)
def test_an_error_without_words_is_unknown_all_the_same(plan: Plan, error: object, why: str) -> None:
    answer = plan(lambda it: {**it, "error": error}, "--json")
    assert answer.status == 1
    assert (answer.document["stand"], answer.document["nodes"][0]["unknown"]) == ("Unknown", why)


@pytest.mark.parametrize("fields", STATUSES.values(), ids=STATUSES)
def test_a_status_that_the_controller_could_not_read_is_unknown(plan: Plan, fields: Body) -> None:
    answer = plan(lambda it: with_status(it, **fields), "--json")
    hostile, honest = answer.document["nodes"]
    assert (answer.status, answer.document["stand"], honest["unknown"]) == (1, "Unknown", None)
    assert "its answer cannot be read: status" in hostile["unknown"]


@pytest.mark.parametrize("odd", [[], {}, [[]], {"": None}, None, True, -1, 1.5, ""], ids=repr)
@pytest.mark.parametrize("made", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_a_field_of_another_type_ends_nothing(plan: Plan, made: Callable[[Body, Any], Body], odd: Any) -> None:
    assert "node n1" in plan(lambda it: made(it, odd)).out.replace("nodes n0, n1", "node n1")
    assert plan(lambda it: made(it, odd), "--json").document["nodes"][1]["devices"]


@pytest.mark.parametrize("field", ["reason", "message"])
@pytest.mark.parametrize("part", ["conditions", "rejected"])
def test_what_a_node_says_of_itself_is_cut(plan: Plan, part: str, field: str) -> None:
    said = [{"type": "Ready", "policy": "fast", field: "x" * 3_000_000}]
    assert len(plan(lambda it: with_status({**it, "pfs": []}, **{part: said})).out) < 20_000


@pytest.mark.parametrize(
    ("encoding", "text", "shown"),
    [
        ("utf-8", "a\ud800b", "a?b"),
        ("utf-8", "\udcff", "?"),
        ("ascii", "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "caf?"),
        ("latin-1", "\N{SNOWMAN} \N{LATIN SMALL LETTER E WITH ACUTE}", "? \N{LATIN SMALL LETTER E WITH ACUTE}"),
        ("utf-8", "\N{SNOWMAN}", "\N{SNOWMAN}"),
    ],
)
def test_what_a_stream_cannot_write_is_replaced(
    monkeypatch: pytest.MonkeyPatch, encoding: str, text: str, shown: str
) -> None:
    written = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(written, encoding=encoding))
    Screen(as_json=False, color=When.NEVER, environ={}, now=datetime(2026, 1, 1, tzinfo=UTC)).say(text)
    assert written.getvalue().decode(encoding) == f"{shown}\n"
