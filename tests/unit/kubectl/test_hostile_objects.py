"""Objects of other versions, and of attackers: no crash, one line for what cannot be read, and the rest is shown."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fake_cluster import Ask, cluster_of, recorded
from hypothesis import given
from hypothesis import strategies as st

from virtfn_kubectl.judge.overview import overview
from virtfn_kubectl.judge.rollout import rollout_of
from virtfn_kubectl.judge.why_node import why_node
from virtfn_kubectl.judge.why_policy import why_policy
from virtfn_kubectl.read.whole import read_fleet

ODD: list[Any] = [None, True, -1, 2**70, 1.5, "", "x" * 9000, "\x1b[2J", [], {}, [None], [[]], {"": None}, ["x"]]
VERBS = (["status"], ["nodes"], ["why", "policy/fast"], ["why", "node/node-1"], ["rollout", "status", "fast"])


@pytest.mark.parametrize("odd", [None, 3, "text", [], {}, {"metadata": None}, {"metadata": {"name": 7}}])
@pytest.mark.parametrize("kind", ["policies", "nodes"])
def test_an_object_that_is_none_is_one_line_and_the_others_are_shown(ask: Ask, kind: str, odd: Any) -> None:
    fleet = recorded("healthy")
    fleet[kind].append(odd)
    answer = ask(cluster_of(fleet), "status")
    assert answer.status == 1
    (line,) = [line for line in answer.out.splitlines() if "cannot be read" in line]
    assert "number " in line
    assert "\nnode-2 " in answer.out


def paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in an object."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*before, key)
        yield from paths(item, (*before, key))


def changed(body: Any, path: tuple[Any, ...], odd: Any) -> Any:
    body = copy.deepcopy(body)
    place = body
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = odd
    return body


def everything(policies: list[Any], nodes: list[Any]) -> str:
    fleet = read_fleet(policies, nodes)
    told: list[object] = [overview(fleet)]
    told += [why_policy(fleet, it, ()) for it in fleet.policies] + [rollout_of(fleet, it) for it in fleet.policies]
    told += [why_node(fleet, it, None) for it in fleet.nodes]
    return repr(told)


@pytest.mark.parametrize("fleet", ["blocked", "failed"])
@pytest.mark.parametrize("kind", ["policies", "nodes"])
def test_any_field_may_have_any_value(fleet: str, kind: str) -> None:
    whole = recorded(fleet)
    tried = 0
    for number, path in enumerate(paths(whole[kind][0])):
        for turn in range(3):  # three of them each time, others at the next field
            odd = ODD[(3 * number + turn) % len(ODD)]
            everything(**{"policies": whole["policies"], "nodes": [], kind: [changed(whole[kind][0], path, odd)]})
            tried += 1
    assert tried > 90


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(status=JSON, spec=JSON)
def test_any_status_and_spec_can_be_read(status: Any, spec: Any) -> None:
    body = {"metadata": {"name": "odd", "generation": 1}, "spec": spec, "status": status}
    everything([body], [body])


def test_a_status_that_needs_what_this_version_does_not_know_is_not_called_ready(ask: Ask) -> None:
    fleet = recorded("healthy")
    fleet["nodes"][0]["status"]["needs"] = ["pools.ofAnotherKind"]
    answer = ask(cluster_of(fleet), "why", "node/node-1")
    assert answer.status == 1
    assert "Unknown" in answer.out
    assert "ofAnotherKind" in answer.out


@pytest.mark.parametrize("reason", ["OfTheNextVersion", "", "x" * 2000])
def test_a_reason_of_another_version_is_shown_and_sent_to_its_runbook(ask: Ask, reason: str) -> None:
    fleet = recorded("failed")
    for outcome in fleet["nodes"][1]["status"]["policies"]:
        outcome["reason"] = reason
    answer = ask(cluster_of(fleet), "why", "fast")
    assert answer.status == 1
    assert "next: " in answer.out


@pytest.mark.parametrize("words", VERBS)
@pytest.mark.parametrize("evil", ["\x1b[2J\x1b[31m", "\x9b2J", "a\rb", "\u202emoc", "\x07", "\x00"])
def test_no_text_of_an_object_reaches_the_terminal_as_a_control_character(
    ask: Ask, words: list[str], evil: str
) -> None:
    fleet = json.loads(json.dumps(recorded("blocked")).replace("cannot go", json.dumps(f"cannot {evil} go")[1:-1]))
    printed = ask(cluster_of(fleet), *words).out
    assert not set(printed) & set("\x1b\x9b\r\u202e\x07\x00")


def test_a_list_that_never_ends_is_given_up(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("virtfn_kubectl.cluster.PAGES", 3)
    cluster = cluster_of(recorded("healthy"))
    page = json.dumps({"metadata": {"continue": "again"}, "items": []})
    cluster.answers["/apis/virtfn.dev/v1alpha1/sriovnodes"] = page
    answer = ask(cluster, "status")
    assert answer.status == 1
    assert "does not end" in answer.err


@pytest.mark.parametrize("text", ["", "<html>", "[]", '{"items": 3}', "[" * 100_000, '{"a": '])
def test_an_answer_that_is_no_list_is_status_1(ask: Ask, text: str) -> None:
    cluster = cluster_of(recorded("healthy"))
    cluster.answers["/apis/virtfn.dev/v1alpha1/sriovnodes"] = text
    answer = ask(cluster, "status")
    assert (answer.status, answer.out) == (1, "")


def test_a_status_with_huge_lists_is_shown_cut_with_a_line(ask: Ask) -> None:
    fleet = recorded("healthy")
    status = fleet["nodes"][0]["status"]
    status["functions"] = status["functions"] * 2000
    answer = ask(cluster_of(fleet), "status")
    assert "status.functions has 4000 entries; the first 1024 are shown" in answer.out
