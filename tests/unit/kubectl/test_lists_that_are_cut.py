"""A list of which a command shows the first entries only says how many more there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_cluster import Ask, cluster_of, recorded

from virtfn_kubectl.judge.foreseen import Foreseen, PolicyForeseen
from virtfn_kubectl.judge.verdict import Stand, Verdict
from virtfn_kubectl.reporting import PODS
from virtfn_kubectl.tell.foreseen_text import POINTS_LIMIT, foreseen_text
from virtfn_operator.controller.rollout import Rollout


@pytest.mark.parametrize("more", [0, 1, 30])
def test_notes_of_a_node(ask: Ask, more: int) -> None:
    fleet = recorded("healthy")
    fleet["nodes"][0]["status"]["functions"][0]["notes"] = [f"note {n}." for n in range(5 + more)]
    out = ask(cluster_of(fleet), "why", "node/node-1").out
    assert "note 4." in out
    assert (f"and {more} more" in out) is (more > 0)


@pytest.mark.parametrize("more", [0, 1, 30])
def test_what_a_policy_would_not_get(more: int) -> None:
    rejections = tuple(f"node n{n}: IndexTaken: taken" for n in range(POINTS_LIMIT + more))
    verdict = Verdict(stand=Stand.REJECTED, reason="IndexTaken", message="")
    policy = PolicyForeseen(
        name="fast", change="changed", verdict=verdict, matching=1, rollout=Rollout(), rejections=rejections
    )
    text = foreseen_text(Foreseen(policies=(policy,), nodes=(), others=1))
    assert text.count("not given: node") == POINTS_LIMIT
    assert (f"not given: {more} more; --json has all" in text) is (more > 0)


@pytest.mark.parametrize("more", [0, 1, 30])
def test_pods_whose_logs_are_in_no_report(ask: Ask, tmp_path: Path, more: int) -> None:
    labels = {"app.kubernetes.io/name": "virtfn", "app.kubernetes.io/component": "agent"}
    pods = [
        {"metadata": {"name": f"p{n}", "namespace": "virtfn-system", "labels": labels}, "spec": {}, "status": {}}
        for n in range(PODS + more)
    ]
    answer = ask(
        cluster_of({**recorded("healthy"), "pods": pods}), "report", "-o", str(tmp_path / "x.tar.gz"), "--json"
    )
    assert (f"the logs of {more} more pods" in answer.document["leftOut"]) is (more > 0)
