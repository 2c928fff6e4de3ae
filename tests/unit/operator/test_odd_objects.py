"""Whatever stands in one object, the others are decided as they would be without it, and no function is given back."""

import json
import time
from typing import Any

import pytest

from virtfn_operator.api.node_spec import POLICIES_LIMIT, SPEC_LIMIT, Wires, asked_spec, write_spec
from virtfn_operator.api.policy import read_policy
from virtfn_operator.controller.decide import Decision, Rules, World, decide
from virtfn_operator.controller.merge import Node, merge

NOW = "2026-01-01T00:00:00Z"
Body = dict[str, Any]


def policy(name: str, **spec: Any) -> Body:
    whole = {
        "devices": [{"vendor": "8086"}],
        "virtualFunctions": {"count": 4, "pools": [{"resourceName": name}]},
        **spec,
    }
    return {"metadata": {"name": name, "uid": f"u-{name}", "generation": 1, "creationTimestamp": NOW}, "spec": whole}


def node(name: str, **more: Any) -> Body:
    return {"metadata": {"name": name, "generation": 1}, **more}


def world(policies: list[Any], states: list[Any], *labels: Any) -> World:
    return World(policies=policies, states=states, nodes=[*({"metadata": {"name": n}} for n in "abc"), *labels])


def spec_of(decision: Decision, name: str) -> list[str]:
    (write,) = [w for w in decision.writes if (w.plural, w.name) == ("sriovnodes", name)]
    return [entry["name"] for entry in write.patch["spec"]["policies"]]


ODD: list[Any] = [None, 7, "x", [], {}, [None], {"metadata": 7}, {"metadata": []}, {"metadata": {"name": 7}}]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("where", ["policies", "states", "nodes"])
def test_an_object_that_is_none_stops_no_other(where: str, odd: Any) -> None:
    lists: dict[str, list[Any]] = {"policies": [policy("good")], "states": [node("a")], "nodes": []}
    lists[where] = [odd, *lists[where], odd]
    decision = decide(world(lists["policies"], lists["states"], *lists["nodes"]), NOW)
    assert spec_of(decision, "a") == ["good"]
    assert [w.name for w in decision.writes if w.plural == "sriovpolicies"] == ["good"]
    json.dumps([dict(w.patch) for w in decision.writes])


@pytest.mark.parametrize("label", [None, 7, ["x"], {"x": "y"}])
@pytest.mark.parametrize("operator", ["In", "NotIn"])
def test_a_label_that_is_no_text_leaves_its_node_alone_and_stops_no_other(operator: str, label: Any) -> None:
    selector = {"matchExpressions": [{"key": "zone", "operator": operator, "values": ["x"]}]}
    odd = {"metadata": {"name": "odd", "labels": {"zone": label}}}
    policies = [policy("good"), policy("some", nodeSelector=selector)]
    decision = decide(world(policies, [node("a"), node("odd")], odd), NOW)
    assert "good" in spec_of(decision, "a")
    assert [w.name for w in decision.writes if w.plural == "sriovnodes"] == ["a"]
    assert decision.unreadable == ("Node odd is left alone, its labels cannot be read",)


DOCUMENTS: list[Any] = [7, "x", [], [7], {"policies": {}}, {"conditions": 7}, {"policies": [7, None, {}]}, {"nodes": 7}]


@pytest.mark.parametrize("odd", DOCUMENTS)
@pytest.mark.parametrize("what", ["spec of a policy", "spec of a node", "status of both"])
def test_an_odd_spec_or_status_stops_no_other(what: str, odd: Any) -> None:
    field = what.partition(" ")[0]
    broken = {**policy("odd"), **({} if "node" in what else {field: odd})}
    states = [node("a"), node("b", **({} if "policy" in what else {field: odd}))]
    decision = decide(world([policy("good"), broken], states), NOW)
    assert "good" in spec_of(decision, "a")
    assert spec_of(decision, "b") == spec_of(decision, "a")
    assert {w.name for w in decision.writes if w.plural == "sriovpolicies"} == {"good", "odd"}


def test_a_policy_object_that_cannot_be_read_at_all_gives_nothing_back() -> None:
    kept = {"name": "lost", "uid": "u-lost", "generation": 1, "devices": [{"vendor": "8086"}], "count": 0, "pools": []}
    states = [node("a", spec={"policies": [kept], "mayChange": False})]
    readable = decide(world([policy("good")], states), NOW)
    assert spec_of(readable, "a") == ["good"]
    unreadable = decide(world([policy("good"), {"metadata": {"uid": "u-lost"}}], states), NOW)
    assert spec_of(unreadable, "a") == ["good", "lost"]
    assert "SriovPolicy" in unreadable.unreadable[0]


@pytest.mark.parametrize("entry", [7, {"name": "bad", "uid": "u-bad"}, {"uid": "u-bad", "devices": 7}, {"uid": 7}])
def test_what_a_rejected_policy_had_and_nobody_can_read_stays_on_the_node(entry: Any) -> None:
    states = [node("a", spec={"policies": [entry], "mayChange": True}), node("b")]
    decision = decide(world([policy("good"), policy("bad", devices=7)], states), NOW)
    assert [w.name for w in decision.writes if w.plural == "sriovnodes" and "policies" in w.patch.get("spec", {})] == [
        "b"
    ]
    assert any("SriovNode a keeps its spec" in line for line in decision.unreadable)
    decision = decide(world([policy("good")], states), NOW)
    assert spec_of(decision, "a") == ["good"]  # no policy that is rejected had anything there


def test_policies_that_are_more_than_one_node_holds_leave_out_the_newest_and_say_so() -> None:
    served = [policy(f"served{n}") for n in range(3)]
    first = decide(world(served, [node("a")]), NOW)
    states = [node("a", spec=next(w.patch["spec"] for w in first.writes if w.name == "a"))]
    pools = [{"resourceName": f"{'d' * 230}/{'n' * 60}{n:02}", "indexes": str(n)} for n in range(60)]
    greedy = [policy(f"greedy{n:02}", priority=1000, virtualFunctions={"pools": pools}) for n in range(40)]
    rules = Rules(domains=frozenset({"d" * 230}))
    decision = decide(world([*greedy, *served], states), NOW, rules)
    got = spec_of(decision, "a")
    assert {"served0", "served1", "served2"} < set(got)
    assert len(got) < 43
    (write,) = [w for w in decision.writes if w.name == "a"]
    assert len(json.dumps(write.patch["spec"])) < SPEC_LIMIT + 1000
    left = next(w for w in decision.writes if w.name == "greedy39")
    conditions = {c["type"]: c["reason"] for c in left.patch["status"]["conditions"]}
    assert conditions["Accepted"] == "TooLarge"
    assert left.patch["status"]["problems"][0]["reason"] == "TooLarge"
    assert left.patch["status"]["nodes"]["matching"] == 1
    after = [node("a", spec={**states[0]["spec"], **write.patch["spec"]})]
    again = decide(world([*greedy, *served], after), NOW, rules)
    assert [w.name for w in again.writes if w.plural == "sriovnodes"] == []  # and it stays so


def test_what_a_node_holds_is_counted_in_bytes_and_not_in_characters() -> None:
    devices = [{"netdev": "\N{MATHEMATICAL SCRIPT CAPITAL A}" * 128}] * 64
    many = [policy(f"p{n:02}", devices=devices) for n in range(60)]
    (write,) = [w for w in decide(world(many, [node("a")]), NOW).writes if w.plural == "sriovnodes"]
    assert len(json.dumps(write.patch["spec"], ensure_ascii=False).encode()) < SPEC_LIMIT + 1000


def test_more_policies_than_one_node_may_have() -> None:
    many = [policy(f"p{n:04}") for n in range(POLICIES_LIMIT + 3)]
    assert len(spec_of(decide(world(many, [node("a")]), NOW), "a")) == POLICIES_LIMIT


def test_more_policies_than_a_node_holds_cost_each_node_little() -> None:
    many = [read_policy(policy(f"p{n:04}")) for n in range(POLICIES_LIMIT + 100)]
    wires = Wires()
    asked = asked_spec(write_spec(merge(many, [Node(name="a", labels={})], wires=wires).configs["a"], False, wires))
    nodes = [Node(name=f"n{n}", labels={}, asked=asked) for n in range(10)]
    began = time.process_time()
    merged = merge(many, nodes, wires=wires)
    assert time.process_time() - began < 0.8
    assert {len(config.policies) for config in merged.configs.values()} == {POLICIES_LIMIT}
    assert {len(left) for left in merged.left_out.values()} == {100}


def test_a_node_full_of_garbage_costs_little() -> None:
    text = ",".join(["0-65534"] * 128)
    bad = {"devices": [{"vendor": "8086"}], "pools": [{"resourceName": "a.b/c", "indexes": text}]}
    entries = [{"name": f"p{n}", "uid": str(n), "generation": 1, **bad} for n in range(1024)]
    outcomes = [{"uid": str(n), "message": "m" * 5000, "state": "Failed"} for n in range(1024)]
    full = node("a", spec={"policies": entries}, status={"policies": outcomes, "conditions": [{"type": "x"}] * 64})
    began = time.process_time()
    decision = decide(world([policy("good"), policy("bad", devices=7)], [full, node("b")]), NOW)
    assert time.process_time() - began < 1
    assert spec_of(decision, "a") == ["good"]


@pytest.mark.parametrize("name", ["nvidia.com/gpu", "cpu", "hugepages-2Mi"])
def test_a_resource_name_of_somebody_else_is_not_accepted_and_keeps_what_it_had(name: str) -> None:
    bad = policy("x", virtualFunctions={"count": 4, "pools": [{"resourceName": name}]})
    decision = decide(world([bad], [node("a")]), NOW)
    (write,) = [w for w in decision.writes if w.name == "x"]
    accepted = write.patch["status"]["conditions"][0]
    assert (accepted["type"], accepted["status"], accepted["reason"]) == ("Accepted", "False", "InvalidPolicy")
    assert "resourceName" in accepted["message"]
    allowed = decide(world([bad], [node("a")]), NOW, Rules(domains=frozenset({"nvidia.com"})))
    assert spec_of(allowed, "a") == (["x"] if "/" in name else [])
