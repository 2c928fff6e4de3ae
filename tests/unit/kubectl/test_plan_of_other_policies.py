"""What `plan` says of policies that are not in the plan and that lose by it."""

from __future__ import annotations

import pytest
from plan_asked import Body, Planned, policy, whole

LOSSES = [
    pytest.param([policy("old")], policy("new", 2, priority=10), "CountConflict", id="another-count"),
    pytest.param([policy("old")], policy("new", priority=10), "NothingLeft", id="every-vf"),
    pytest.param([policy("old", 4, "0-1", "2-3")], policy("new", 4, "2-3", priority=10), "IndexTaken", id="some-vfs"),
    pytest.param([policy("old")], whole("new", priority=10), "FunctionTaken", id="the-pf-itself"),
    pytest.param(
        [policy("new", 4, "0", priority=5), policy("old", 4, "1-3")],
        policy("new", 2, "0", priority=5),
        "CountConflict",
        id="an-edit",
    ),
    pytest.param(
        [policy("new", 4, "0"), policy("old", 4, "0-3", priority=1)],
        policy("new", 4, "0", priority=5),
        "IndexTaken",
        id="a-priority",
    ),
]


@pytest.mark.parametrize(("there", "given", "reason"), LOSSES)
def test_a_policy_that_loses_by_another_one_is_told(
    planned: Planned, there: list[Body], given: Body, reason: str
) -> None:
    answer = planned(there, given)
    assert answer.status == 1
    assert "policy old: loses; 1 node matches; at first it is " in answer.out
    assert f"not given: node n0: {reason}: " in answer.out
    document = planned(there, given, "--json").document
    new, old = document["policies"]
    assert (new["name"], old["name"], old["change"], document["stand"]) == ("new", "old", "loses", "Rejected")
    assert [reason in line for line in old["notGiven"]] == [True]


def test_an_end_that_lets_another_count_stand_tells_who_loses(planned: Planned) -> None:
    there = [
        policy("first", 4, "0", priority=9),
        policy("second", 2, "1", priority=5),
        policy("old", 4, "2-3"),
    ]
    answer = planned(there, None, "--delete", "first", "--json")
    assert answer.status == 1
    told = {it["name"]: it["change"] for it in answer.document["policies"]}
    assert told == {"first": "deleted", "old": "loses"}


@pytest.mark.parametrize(
    "given", [policy("first", 2, "0", priority=9), policy("first", 2, priority=5), policy("new", None, "1")]
)
def test_a_policy_that_lost_before_is_not_told_again(planned: Planned, given: Body) -> None:
    answer = planned([policy("first", 2, "0-1", priority=9), policy("old", 4)], given, "--json")
    assert [node["name"] for node in answer.document["nodes"]] == ["n0"]
    assert [it["name"] for it in answer.document["policies"]] == [given["metadata"]["name"]]


def test_a_policy_that_lost_before_and_loses_more_is_told(planned: Planned) -> None:
    there = [policy("first", 4, "0", priority=9), policy("old", 4, "0", "1-3")]
    answer = planned(there, policy("new", 4, "1", priority=5), "--json")
    assert answer.status == 1
    (_, old) = answer.document["policies"]
    assert (old["change"], len(old["notGiven"])) == ("loses", 1)
    assert "belongs to policy new" in old["notGiven"][0]


def test_a_policy_beside_that_keeps_what_it_has_is_not_told(planned: Planned) -> None:
    answer = planned([policy("old", 4, "0-1")], policy("new", 4, "2-3"), "--json")
    assert ([it["name"] for it in answer.document["policies"]], answer.status) == (["new"], 0)


@pytest.mark.parametrize("heard", [True, False])
def test_a_policy_that_would_wait_for_a_pod_is_told(planned: Planned, heard: bool) -> None:
    there = [policy("fast", 4, "0-1"), policy("old", None, "2-3")]
    answer = planned(there, policy("fast", 6, "0-1"), held="fast-0-1", heard=heard)
    assert answer.status == 3
    assert "policy old: loses; 1 node matches; at first it is Blocked, VfsInUse" in answer.out
    answer = planned(there, policy("fast", 6, "0-1"), "--json", heard=heard)
    assert ([it["name"] for it in answer.document["policies"]], answer.status) == (["fast"], 0)


def test_the_nodes_where_a_policy_loses_are_named(planned: Planned) -> None:
    given = policy("new", 4, priority=10, nodeSelector={"matchLabels": {"number": "1"}})
    (_, old) = planned([policy("old")], given, "--json", nodes=3).document["policies"]
    assert [line.split(":")[0] for line in old["notGiven"]] == ["node n1"]
    assert old["matchingNodes"] == 3


def test_a_policy_of_the_plan_that_is_partly_rejected_is_told_by_the_exit_status(planned: Planned) -> None:
    answer = planned([policy("old", 4, "0-1")], policy("new", 4, "1", "2-3"), "--json")
    (new,) = answer.document["policies"]
    assert (new["name"], answer.document["stand"], answer.status) == ("new", "Rejected", 1)
    assert any("IndexTaken" in line for line in new["notGiven"])
