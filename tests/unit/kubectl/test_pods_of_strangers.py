"""Whoever may create a pod may give it virtfn's label: no pod of another namespace is asked, believed or reported."""

from __future__ import annotations

import copy
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_cluster import Ask, FakeCluster, agent, cluster_of, recorded
from plan_asked import policy
from plan_law import CONTROLLER, PODS, POLICIES, PlanCluster, PlanFleet

from virtfn_kubectl.cluster import Ran

OWN = "virtfn-system"
LABELS = agent()["metadata"]["labels"]
PLAIN = {"metadata": {"name": "x", "labels": {"app.kubernetes.io/name": "virtfn"}}}
STRANGERS: dict[str, list[Any]] = {
    "an agent": [agent()],
    "an agent of another name": [agent("mine")],
    "an agent elsewhere": [agent("mine", node="node-7")],
    "one that does not run": [agent("mine", phase="Pending")],
    "one that ends": [agent("mine", deletionTimestamp="2026-01-01T00:00:00Z")],
    "a controller": [CONTROLLER],
    "a pod of no component": [PLAIN],
    "many": [agent(f"a{n}") for n in range(60)],
}
PLACES = ("a-tenant", "zz-tenant")


def moved(pods: list[Any], place: str) -> list[Any]:
    return [{**pod, "metadata": {**pod["metadata"], "namespace": place}} for pod in copy.deepcopy(pods)]


def cluster(strangers: list[Any], *own: Any, first: bool) -> FakeCluster:
    """Return a cluster where pods of strangers are listed before or after virtfn's own."""
    real = list(own) or [agent()]
    ran = Ran(status=0, out='{"a": "answer"}', err="")
    return cluster_of(
        {**recorded("healthy"), "pods": [*strangers, *real] if first else [*real, *strangers]}, executed=ran
    )


def ran_anything(asked: FakeCluster) -> bool:
    return any("exec" in call or call[0] == "helm" for call in asked.calls)


@pytest.mark.parametrize("strangers", STRANGERS.values(), ids=STRANGERS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "words", [["list", "node-1"], ["list", "node-1", "--json"], ["explain", "node-1", "3b:00.0"], ["report"]]
)
def test_pods_of_two_namespaces_are_refused_and_nothing_is_run(
    ask: Ask, tmp_path: Path, strangers: list[Any], place: str, words: list[str]
) -> None:
    path = tmp_path / "x.tar.gz"
    asked = cluster(moved(strangers, place), first=place < OWN)
    answer = ask(asked, *words, *(["-o", str(path)] if words == ["report"] else []))
    assert answer.status == 2
    assert " and ".join(sorted([OWN, place])) in answer.err
    assert "with -n" in answer.err
    assert not ran_anything(asked)
    assert not path.exists()


def test_on_a_node_without_an_agent_a_stranger_is_not_asked(ask: Ask) -> None:
    asked = cluster(moved([agent()], "zz-tenant"), agent(node="node-2"), first=False)
    assert ask(asked, "list", "node-1").status == 2
    assert ask(asked, "list", "node-1", "-n", OWN).status == 4
    assert not ran_anything(asked)


@pytest.mark.parametrize("strangers", STRANGERS.values(), ids=STRANGERS)
@pytest.mark.parametrize("place", PLACES)
def test_with_the_namespace_named_only_pods_there_count(ask: Ask, strangers: list[Any], place: str) -> None:
    asked = cluster(moved(strangers, place), first=place < OWN)
    assert ask(asked, "list", "node-1", "-n", OWN).status == 0
    assert asked.calls[-1][2:4] == [f"--namespace={OWN}", "virtfn-agent-x"]


def test_pods_without_the_label_are_no_strangers(ask: Ask) -> None:
    pod = agent()
    pod["metadata"]["labels"] = {"app.kubernetes.io/component": "agent"}
    asked = cluster(moved([pod], "a-tenant"), first=True)
    assert ask(asked, "list", "node-1").status == 0
    assert asked.calls[-1][2] == f"--namespace={OWN}"


# --- why -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strangers", STRANGERS.values(), ids=STRANGERS)
@pytest.mark.parametrize("node", ["node-1", "node-9"])
def test_why_says_that_it_does_not_know_which_pods_are_virtfns(ask: Ask, strangers: list[Any], node: str) -> None:
    asked = cluster(moved(strangers, "a-tenant"), first=True)
    asked.lists["/api/v1/nodes"].append({"metadata": {"name": "node-9"}, "status": {}})
    answer = ask(asked, "why", f"node/{node}", "--json")
    assert "a-tenant and virtfn-system" in answer.err
    assert not [it for it in answer.document["points"] if it["subject"].startswith("virtfn-")]


def test_why_hides_no_missing_agent_behind_a_pod_of_a_stranger(ask: Ask) -> None:
    asked = cluster(moved([agent(node="node-1")], "zz-tenant"), agent(node="node-2"), first=False)
    answer = ask(asked, "why", "node/node-1")
    assert "which of them are virtfn's on node-1 is not known" in answer.err


# --- plan ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def fleet() -> Iterator[PlanFleet]:
    found = PlanFleet()
    found.lists[PODS].append(CONTROLLER)
    found.add("n0", {}, 1, 7)
    yield found
    found.nodes["n0"].close()


def settings(domains: str) -> Any:
    pod: Any = copy.deepcopy(CONTROLLER)
    pod["spec"]["containers"][0]["env"] = [{"name": "VIRTFN_RESOURCE_DOMAINS", "value": domains}]
    return pod


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("pod", [agent("mine", node="n0"), CONTROLLER, settings("corp.example"), PLAIN])
def test_a_plan_is_not_asked_of_strangers(ask: Ask, fleet: PlanFleet, tmp_path: Path, pod: Any, place: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(json.dumps(policy("corp.example/fast")))
    alone = ask(PlanCluster(fleet, ""), "plan", "-f", str(path), "--json")
    fleet.lists[PODS] = [*moved([pod], place), *fleet.lists[PODS]]
    asked = PlanCluster(fleet, "")
    answer = ask(asked, "plan", "-f", str(path))
    assert (answer.status, "with -n" in answer.err) == (2, True)
    assert not ran_anything(asked)
    named = ask(PlanCluster(fleet, ""), "plan", "-f", str(path), "--json", "-n", OWN)
    assert (named.status, named.document["policies"]) == (alone.status, alone.document["policies"])
    assert "is not allowed here" in named.out
    assert fleet.lists[POLICIES] == []


# --- report ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strangers", STRANGERS.values(), ids=STRANGERS)
def test_a_report_of_the_named_namespace_has_nothing_of_strangers(
    ask: Ask, tmp_path: Path, strangers: list[Any]
) -> None:
    log = "/api/v1/namespaces/{}/pods/virtfn-agent-x/log"
    asked = cluster(moved(strangers, "a-tenant"), first=True)
    asked.answers = {log.format(OWN): "it fails\n", log.format("a-tenant"): "all is well\n"}
    asked.lists["/api/v1/events"] = [
        {
            "metadata": {"namespace": place},
            "involvedObject": {"kind": "Pod", "namespace": place, "name": "virtfn-agent-x"},
            "message": f"of {place}",
        }
        for place in (OWN, "default", "a-tenant")
    ]
    path = tmp_path / "x.tar.gz"
    assert ask(asked, "report", "-o", str(path), "-n", OWN).status == 0
    with tarfile.open(path) as bundle:
        files = {it.name: bundle.extractfile(it).read().decode() for it in bundle.getmembers()}  # type: ignore[union-attr]
    assert {text for name, text in files.items() if "/logs/" in name} == {"it fails\n"}
    assert [it["message"] for it in json.loads(files["x/events.json"])] == [f"of {OWN}"]
    assert not [path for path in asked.asked if "a-tenant" in path]
