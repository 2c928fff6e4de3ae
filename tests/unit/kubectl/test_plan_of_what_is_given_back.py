"""The exit status of `plan` where a pod is in the way of what is given back: no policy counts for that any more."""

from __future__ import annotations

import pytest
from plan_asked import Body, Planned, policy, whole

ON_N1: Body = {"nodeSelector": {"matchLabels": {"number": "1"}}}
EVICT: Body = {"disruption": {"whenInUse": "Evict"}}
ELSEWHERE: Body = {"devices": [{"vendor": "8086", "address": "0000:09:00.0"}]}

GIVEN_BACK = [
    pytest.param([policy("fast")], None, ["--delete=fast"], "fast", id="an-end"),
    pytest.param([policy("fast", **EVICT)], None, ["--delete=fast"], "fast", id="an-end-of-one-that-evicts"),
    pytest.param([whole("fast")], None, ["--delete=fast"], "fast", id="an-end-of-whole-functions"),
    pytest.param([policy("fast")], policy("fast", **ON_N1), [], "fast", id="a-node-selector"),
    pytest.param([policy("fast")], policy("fast", **ELSEWHERE), [], "fast", id="devices"),
    pytest.param(
        [policy("slow", nodeSelector={"matchLabels": {"number": "0"}}), policy("fast", **ON_N1)],
        policy("fast", **ON_N1),
        ["--delete=slow"],
        "slow",
        id="an-end-and-a-file",
    ),
    pytest.param(
        [policy("slow", 4, "0-1"), policy("fast", 4, "2-3")], None, ["--delete=slow"], "slow-0-1", id="a-part-of-a-pf"
    ),
]


@pytest.mark.parametrize(("there", "given", "words", "held"), GIVEN_BACK)
def test_a_pod_in_the_way_of_what_is_given_back_is_status_3(
    planned: Planned, there: list[Body], given: Body | None, words: list[str], held: str
) -> None:
    answer = planned(there, given, *words, "--json", nodes=2, held=held)
    waits = [wait for node in answer.document["nodes"] for part in node["devices"] for wait in part["waits"]]
    assert [wait["reason"] for wait in waits] == ["VfsInUse"]
    assert (answer.document["stand"], answer.status) == ("Blocked", 3)


@pytest.mark.parametrize(("there", "given", "words", "held"), GIVEN_BACK[:1])
def test_without_the_pod_it_is_status_0(
    planned: Planned, there: list[Body], given: Body | None, words: list[str], held: str
) -> None:
    assert planned(there, given, *words, nodes=2).status == 0


@pytest.mark.parametrize("changed", [{"count": 6}, {"pools": [{"resourceName": "fast", "driver": "kernel"}]}])
def test_a_pod_that_would_be_evicted_is_not_in_the_way(planned: Planned, changed: Body) -> None:
    given = policy("fast", **EVICT)
    given["spec"]["virtualFunctions"] |= changed
    answer = planned([policy("fast")], given, "--json", held="fast")
    (node,) = answer.document["nodes"]
    assert node["evict"] == ["default/dpdk-0"]
    assert (answer.document["stand"], answer.status) == ("Changing", 0)


def test_what_is_rejected_counts_before_a_pod_in_the_way(planned: Planned) -> None:
    there = [policy("slow", nodeSelector={"matchLabels": {"number": "0"}}), policy("fast", **ON_N1)]
    answer = planned(there, policy("new", 2, **ON_N1), "--delete=slow", nodes=2, held="slow")
    assert answer.status == 1
