"""`status` and `nodes`: what they print of a fleet, and their exit status."""

from __future__ import annotations

import pytest
from fake_cluster import Ask, cluster_of, recorded

FLEETS = {"healthy": 0, "changing": 0, "blocked": 3, "failed": 1}


@pytest.mark.parametrize(("fleet", "status"), FLEETS.items())
@pytest.mark.parametrize("verb", ["status", "nodes"])
def test_the_exit_status_is_the_worst_stand(ask: Ask, fleet: str, status: int, verb: str) -> None:
    assert ask(fleet, verb).status == status
    assert ask(fleet, verb, "--json").status == status


@pytest.mark.parametrize("fleet", FLEETS)
def test_every_policy_and_node_has_a_line(ask: Ask, fleet: str) -> None:
    bodies = recorded(fleet)
    first_words = [line.split()[0] for line in ask(fleet, "status").out.splitlines() if line]
    for body in bodies["policies"] + bodies["nodes"]:
        assert body["metadata"]["name"] in first_words


def test_a_problem_comes_with_its_next_step(ask: Ask) -> None:
    out = ask("blocked", "status").out
    assert "pod default/dpdk-0 holds 0000:3b:10.0" in out
    assert "next: end the pod or process that holds it" in out


@pytest.mark.parametrize("fleet", ["healthy", "changing"])
def test_where_all_is_well_there_is_no_problem(ask: Ask, fleet: str) -> None:
    answer = ask(fleet, "status")
    assert "problems" not in answer.out
    assert "next" not in answer.out
    assert ask(fleet, "status", "--json").document["problems"] == []


def test_the_same_problem_of_many_nodes_is_one_problem() -> None:
    problems = [p["subject"] for p in _status_of_many_nodes()]
    assert problems == ["policy late on nodes node-1, node-2"] * 2 + ["policy fast on node node-2"]


def _status_of_many_nodes() -> list[dict[str, str]]:
    from virtfn_host.core.values.codec import encode
    from virtfn_kubectl.judge.overview import overview
    from virtfn_kubectl.read.whole import read_fleet

    fleet = recorded("failed")
    found: list[dict[str, str]] = encode(overview(read_fleet(fleet["policies"], fleet["nodes"])).problems)
    return sorted(found, key=lambda it: it["reason"])


@pytest.mark.parametrize(
    ("number", "more"), [(50, ""), (51, "and 1 more: 1 Ready;"), (900, "and 850 more: 850 Ready;")]
)
def test_of_very_many_nodes_the_worst_are_shown(ask: Ask, number: int, more: str) -> None:
    fleet = recorded("failed")
    good, bad = fleet["nodes"]
    made = [{**good, "metadata": {**good["metadata"], "name": f"a-{n:03}"}} for n in range(number - 1)]
    fleet["nodes"] = [*made, {**bad, "metadata": {**bad["metadata"], "name": "z"}}]
    answer = ask(cluster_of(fleet), "status")
    lines = [line for line in answer.out.splitlines() if line.startswith(("a-", "z "))]
    assert len(lines) == 50
    assert sum(line.startswith("z ") for line in lines) == 1
    assert more in answer.out
    assert ("more:" in answer.out) == bool(more)
    assert len(ask(cluster_of(fleet), "status", "--json").document["nodes"]) == number


def test_mixed_versions_are_told(ask: Ask) -> None:
    fleet = recorded("healthy")
    fleet["nodes"][1]["status"]["agentVersion"] = "0.3.0"
    answer = ask(cluster_of(fleet), "status")
    assert "versions are mixed" in answer.out
    assert "0.2.0 on node-1" in answer.out
    assert "0.3.0 on node-2" in answer.out


@pytest.mark.parametrize("versions", [("0.2.0", "0.2.0"), ("", "0.2.0"), ("", "")])
def test_versions_that_are_not_known_are_not_mixed(ask: Ask, versions: tuple[str, str]) -> None:
    fleet = recorded("healthy")
    for node, version in zip(fleet["nodes"], versions, strict=True):
        node["status"]["agentVersion"] = version
    assert "mixed" not in ask(cluster_of(fleet), "status").out


def test_nothing_there_is_status_4(ask: Ask) -> None:
    answer = ask(cluster_of({}), "status")
    assert (answer.status, answer.out) == (4, "no policy\n\nno node\n")


def test_a_cluster_without_virtfn_is_told_by_name(ask: Ask) -> None:
    cluster = cluster_of({})
    del cluster.lists["/apis/virtfn.dev/v1alpha1/sriovpolicies"]
    answer = ask(cluster, "status")
    assert answer.status == 4
    assert "virtfn is not installed; `kubectl virtfn check`" in answer.err


def test_nodes_without_an_agent_are_listed(ask: Ask) -> None:
    fleet = recorded("healthy")
    fleet["members"].append({"metadata": {"name": "node-9"}, "status": {}})
    (line,) = [line for line in ask(cluster_of(fleet), "nodes").out.splitlines() if line.startswith("node-9")]
    assert "no agent" in line


def test_without_the_permission_to_read_nodes_the_rest_is_shown(ask: Ask) -> None:
    cluster = cluster_of(recorded("healthy"))
    cluster.errors["/api/v1/nodes"] = 'Error from server (Forbidden): nodes is forbidden: User "me" cannot list'
    answer = ask(cluster, "nodes")
    assert answer.status == 0
    assert answer.out.startswith("NODE ")
    assert "nodes is forbidden" in answer.err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ('Error from server (Forbidden): sriovpolicies is forbidden: User "me" cannot list', "Forbidden: /apis/"),
        ("error: You must be logged in to the server (Unauthorized)", "You must be logged in"),
        ("The connection to the server 10.0.0.1:6443 was refused", "was refused"),
    ],
)
def test_an_api_server_that_refuses_is_status_1(ask: Ask, error: str, message: str) -> None:
    cluster = cluster_of(recorded("healthy"))
    cluster.errors["/apis/virtfn.dev/v1alpha1/sriovpolicies"] = error
    answer = ask(cluster, "status", "--json")
    assert answer.status == 1
    assert message in answer.err
    assert answer.document["error"]["message"] in answer.err
