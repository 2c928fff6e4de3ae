"""Precedence of several new policies in one plan: each dry run is a process of its own, the apply is one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_cluster import Ask
from plan_asked import Body, policy, whole
from plan_law import CONTROLLER, PODS, POLICIES, PlanCluster, PlanFleet

SEVERAL = [
    pytest.param([], [policy("zeta", 2), policy("alpha", 4)], 1, id="counts"),
    pytest.param([], [policy("c", 2), policy("b", 3), policy("a", 4)], 2, id="three-in-two-files"),
    pytest.param([], [policy("zeta", 4, "0-2"), policy("alpha", 4, "1-3")], 1, id="indexes"),
    pytest.param([], [policy("zeta"), whole("alpha")], 1, id="the-pf-itself"),
    pytest.param([], [policy("zeta", 2, priority=6), policy("alpha", 4, priority=5)], 1, id="two-priorities"),
    pytest.param([policy("older")], [policy("zeta", 3), policy("older", 2)], 1, id="beside-an-edit"),
]


@pytest.fixture
def fleet() -> Iterator[PlanFleet]:
    """Return a fleet of one node."""
    found = PlanFleet()
    found.lists[PODS].append(CONTROLLER)
    found.add("n0", {}, pfs=1, total_vfs=7)
    yield found
    found.nodes["n0"].close()


@pytest.mark.parametrize(("there", "given", "files"), SEVERAL)
def test_the_policy_that_wins_in_the_plan_wins_after_the_apply(
    ask: Ask, fleet: PlanFleet, tmp_path: Path, there: list[Body], given: list[Body], files: int
) -> None:
    for body in there:
        fleet.put(POLICIES, body)
    asyncio.run(fleet.settle())
    words = []
    for number in range(files):
        path = tmp_path / f"{number}.yaml"
        path.write_text("\n---\n".join(map(json.dumps, given[number::files])))
        words += ["-f", str(path)]
    answer = ask(PlanCluster(fleet, ""), "plan", *words, "--json")
    planned = {(it["name"], line) for it in answer.document["policies"] for line in it["notGiven"]}
    for body in given:
        fleet.put(POLICIES, body)
    asyncio.run(fleet.settle())
    rejected = fleet.nodes["n0"].body["status"]["rejected"]
    assert planned == {(it["policy"], f"node n0: {it['reason']}: {it['message']}") for it in rejected}
    assert planned
