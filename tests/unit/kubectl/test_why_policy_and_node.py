"""`why POLICY` and `why NODE`: which reason, since when, what waits for whom, what to do next."""

from __future__ import annotations

from typing import Any

import pytest
from fake_cluster import Ask, cluster_of, recorded


def points(document: Any) -> dict[str, Any]:
    return {point["subject"]: point for point in document["points"]}


@pytest.mark.parametrize(
    ("fleet", "what", "status", "stand", "reason"),
    [
        ("healthy", "policy/fast", 0, "Ready", "Converged"),
        ("changing", "policy/fast", 0, "Changing", "Changing"),
        ("changing", "node/node-3", 0, "Changing", "WaitingForTurn"),
        ("blocked", "fast", 3, "Blocked", "VfsInUse"),
        ("blocked", "svn/node-1", 3, "Blocked", "VfsInUse"),
        ("failed", "svp/fast", 1, "Failed", "WriteRefused"),
        ("failed", "policy/late", 1, "Rejected", "CountConflict"),
        ("failed", "node-2", 1, "Failed", "WriteRefused"),
    ],
)
def test_the_verdict_and_the_exit_status(ask: Ask, fleet: str, what: str, status: int, stand: str, reason: str) -> None:
    answer = ask(fleet, "why", what, "--json")
    assert answer.status == status
    verdict = answer.document["verdict"]
    assert (verdict["stand"], verdict["reason"]) == (stand, reason)
    assert verdict["since"].startswith("2026-01-01T")


@pytest.mark.parametrize("what", ["policy/fast", "node/node-3"])
def test_who_waits_for_a_turn_waits_for_the_node_that_has_it(ask: Ask, what: str) -> None:
    found = ask("changing", "why", what, "--json").document["points"]
    (waiting,) = [point for point in found if point["reason"] == "WaitingForTurn"]
    assert waiting["waitsFor"] == ["node node-2, which has the turn"]


@pytest.mark.parametrize("what", ["policy/fast", "node/node-1"])
def test_what_is_blocked_waits_for_the_pods_that_hold_it(ask: Ask, what: str) -> None:
    (point,) = ask("blocked", "why", what, "--json").document["points"]
    assert point["waitsFor"] == ["pod default/dpdk-0"]
    assert "end the pod" in point["next"]


def test_a_rejection_of_many_nodes_is_one_point_that_names_the_winner(ask: Ask) -> None:
    found = points(ask("failed", "why", "late", "--json").document)
    assert list(found) == ["nodes node-1, node-2"] or all("node-1, node-2" in subject for subject in found)
    assert all("policy fast has set count to 4" in point["message"] for point in found.values())


def test_a_policy_without_status_is_not_called_well(ask: Ask) -> None:
    fleet = recorded("healthy")
    del fleet["policies"][0]["status"]
    answer = ask(cluster_of(fleet), "why", "fast")
    assert answer.status == 1
    assert "the controller has written no status" in answer.out
    assert "kubectl get pods -A -l app.kubernetes.io/name=virtfn" in answer.out


def test_an_edit_that_is_not_answered_is_changing(ask: Ask) -> None:
    fleet = recorded("healthy")
    fleet["policies"][0]["metadata"]["generation"] += 1
    answer = ask(cluster_of(fleet), "why", "fast")
    assert answer.status == 0
    assert "Changing" in answer.out.splitlines()[0]


def test_a_policy_that_this_version_cannot_read_names_the_field(ask: Ask) -> None:
    fleet = recorded("healthy")
    fleet["policies"][0]["spec"]["virtualFunctions"]["count"] = -3
    answer = ask(cluster_of(fleet), "why", "fast")
    assert answer.status == 1
    assert "count" in answer.out
    assert "InvalidPolicy" in answer.out


def test_a_node_that_the_selector_names_and_no_agent_runs_on_is_told(ask: Ask) -> None:
    fleet = recorded("healthy")
    fleet["policies"][0]["spec"]["nodeSelector"] = {"matchLabels": {"kubernetes.io/os": "linux"}}
    fleet["members"].append({"metadata": {"name": "node-9", "labels": {"kubernetes.io/os": "linux"}}})
    fleet["members"].append({"metadata": {"name": "node-8", "labels": {"kubernetes.io/os": "windows"}}})
    found = points(ask(cluster_of(fleet), "why", "fast", "--json").document)
    assert list(found) == ["node node-9"]
    assert "no agent runs there" in found["node node-9"]["message"]


def test_functions_that_no_new_pod_gets_are_told_with_their_reason(ask: Ask) -> None:
    fleet = recorded("healthy")
    withheld = {"devices": ["0000:3b:10.2"], "number": 1, "reason": "NotUsable", "message": "has no device node"}
    fleet["nodes"][0]["status"]["pools"][0]["withheld"] = [withheld]
    found = points(ask(cluster_of(fleet), "why", "node/node-1", "--json").document)
    assert found["1 of virtfn.dev/fast (0000:3b:10.2)"]["message"] == "has no device node"


@pytest.mark.parametrize("part", ["Ready", "cordoned", "kubelet v1.31.4"])
def test_a_node_tells_of_its_kubelet(ask: Ask, part: str) -> None:
    fleet = recorded("healthy")
    fleet["members"][0]["spec"]["unschedulable"] = True
    assert part in ask(cluster_of(fleet), "why", "node/node-1").out


def test_more_points_than_can_be_read_are_counted(ask: Ask) -> None:
    fleet = recorded("failed")
    bad = fleet["nodes"][1]
    fleet["nodes"] = [{**bad, "metadata": {**bad["metadata"], "name": f"node-{n}"}} for n in range(50)]
    document = ask(cluster_of(fleet), "why", "fast", "--json").document
    assert (len(document["points"]), document["more"]) == (20, 30)
    assert "and 30 more" in ask(cluster_of(fleet), "why", "fast").out


# --- which object is meant -------------------------------------------------------------------------------------------


def test_a_name_of_two_objects_must_be_told_apart(ask: Ask) -> None:
    fleet = recorded("healthy")
    fleet["nodes"][0]["metadata"]["name"] = "fast"
    answer = ask(cluster_of(fleet), "why", "fast")
    assert answer.status == 2
    assert "write policy/fast or node/fast" in answer.err


@pytest.mark.parametrize("what", ["nothing", "policy/nothing", "node/nothing", "pod/nothing"])
def test_what_is_not_there_is_status_4(ask: Ask, what: str) -> None:
    answer = ask("healthy", "why", what)
    assert answer.status == 4
    assert "there is no" in answer.err


@pytest.mark.parametrize("what", ["deployment/x", "policy/", "/x", "UPPER", "a b", "-x", "policy/a/../b"])
def test_what_can_be_no_name_is_a_usage_error(ask: Ask, what: str) -> None:
    assert ask("healthy", "why", "--", what).status == 2


@pytest.mark.parametrize(("reason", "stand"), [("TurnLost", "Failed"), ("TooLarge", "Rejected")])
def test_what_only_the_controller_knows_of_a_node_is_told(ask: Ask, reason: str, stand: str) -> None:
    fleet = recorded("changing")
    problem = {"node": "node-2", "reason": reason, "message": "as the controller says"}
    fleet["policies"][0]["status"]["problems"] = [problem]
    for words in (("why", "policy/fast"), ("why", "node/node-2")):
        told = ask(cluster_of(fleet), *words, "--json").document["points"]
        assert (reason, stand, "as the controller says") in [(it["reason"], it["stand"], it["message"]) for it in told]
    rows = ask(cluster_of(fleet), "rollout", "status", "fast", "--json").document["nodes"]
    assert {row["name"]: row["reason"] for row in rows}["node-2"] == reason


HELD_UP = [("NodeCordoned", "uncordon"), ("EvictionBlocked", "PodDisruptionBudget")]
"""What only the controller knows of a node that waits, and a word of what to do then."""


@pytest.mark.parametrize(("reason", "step"), HELD_UP)
def test_a_node_that_is_held_up_is_blocked_although_it_says_that_it_waits(ask: Ask, reason: str, step: str) -> None:
    fleet = recorded("changing")
    problem = {"node": "node-3", "reason": reason, "message": "as the controller says"}
    fleet["policies"][0]["status"]["problems"] = [problem]
    (of_policy,) = [
        it
        for it in ask(cluster_of(fleet), "why", "policy/fast", "--json").document["points"]
        if it["subject"] == "node node-3"
    ]
    answer = ask(cluster_of(fleet), "why", "node/node-3", "--json")
    (of_node,) = answer.document["points"]
    for told in (of_policy, of_node):
        assert (told["stand"], told["reason"], told["message"]) == ("Blocked", reason, "as the controller says")
        assert step in told["next"]
    assert (answer.status, answer.document["verdict"]["reason"]) == (3, reason)
    rows = ask(cluster_of(fleet), "rollout", "status", "fast", "--json").document["nodes"]
    assert {row["name"]: row["reason"] for row in rows}["node-3"] == reason


@pytest.mark.parametrize("reason", [reason for reason, _ in HELD_UP])
def test_one_that_waits_no_more_is_believed(ask: Ask, reason: str) -> None:
    fleet = recorded("healthy")
    fleet["policies"][0]["status"]["problems"] = [{"node": "node-1", "reason": reason, "message": "old"}]
    answer = ask(cluster_of(fleet), "why", "node/node-1", "--json")
    assert (answer.status, answer.document["points"]) == (0, [])


def test_of_a_policy_that_cannot_be_read_nodes_keep_what_they_had(ask: Ask) -> None:
    fleet = recorded("healthy")
    fleet["policies"][0]["metadata"]["generation"] += 1
    fleet["policies"][0]["spec"]["virtualFunctions"]["count"] = -3
    document = ask(cluster_of(fleet), "rollout", "status", "fast", "--json").document
    assert (document["done"], document["verdict"]["stand"], document["complete"]) == (2, "Rejected", False)


# --- virtfn's own pods on a node -------------------------------------------------------------------------------------


def with_pods(change: Any) -> Any:
    fleet = recorded("healthy")
    fleet["pods"] = [pod for pod in fleet["pods"] if change(pod) is not False]
    return cluster_of(fleet)


@pytest.mark.parametrize("component", ["agent", "deviceplugin"])
def test_a_part_without_a_pod_is_told(ask: Ask, component: str) -> None:
    cluster = with_pods(lambda pod: pod["metadata"]["name"] != f"virtfn-{component}-node-1")
    found = points(ask(cluster, "why", "node/node-1", "--json").document)
    assert found[f"virtfn-{component}"]["message"] == f"no pod of virtfn-{component} is on this node"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"phase": "Pending"}, "Pending"),
        ({"phase": "Failed", "reason": "Evicted", "message": "no memory"}, "Evicted"),
        (
            {"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
            "CrashLoopBackOff",
        ),
        ({}, ""),
    ],
)
def test_a_part_whose_pod_does_not_run_is_told_with_the_kubelets_word(ask: Ask, status: Any, reason: str) -> None:
    def change(pod: Any) -> None:
        if pod["metadata"]["name"] == "virtfn-agent-node-1":
            pod["status"] = status

    (subject,) = ask(with_pods(change), "why", "node/node-1", "--json").document["points"]
    assert subject["subject"] == "virtfn-agent, pod virtfn-system/virtfn-agent-node-1"
    assert subject["reason"] == reason
    assert subject["next"] == "kubectl describe pod -n virtfn-system virtfn-agent-node-1"


def test_of_a_node_whose_kubelet_is_away_the_status_may_be_old(ask: Ask) -> None:
    fleet = recorded("healthy")
    fleet["members"][0]["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    found = points(ask(cluster_of(fleet), "why", "node/node-1", "--json").document)
    assert "may be old" in found["Node node-1"]["message"]


def test_without_the_permission_to_read_pods_the_rest_is_told(ask: Ask) -> None:
    cluster = cluster_of(recorded("healthy"))
    cluster.errors["/api/v1/pods"] = "Error from server (Forbidden): pods is forbidden"
    answer = ask(cluster, "why", "node/node-1")
    assert answer.status == 0
    assert "pods is forbidden" in answer.err
    assert "deviceplugin" not in answer.out


@pytest.mark.parametrize("what", ["fast", "node-1"])
def test_a_name_without_its_kind_is_told_although_pods_may_not_be_read(ask: Ask, what: str) -> None:
    cluster = cluster_of(recorded("healthy"))
    cluster.errors[f"/api/v1/namespaces/default/pods/{what}"] = "Error from server (Forbidden): pods is forbidden"
    answer = ask(cluster, "why", what)
    assert answer.status == 0
    assert "pods is forbidden" in answer.err


def test_a_pod_that_may_not_be_read_is_no_pod_that_is_not_there(ask: Ask) -> None:
    cluster = cluster_of(recorded("healthy"))
    cluster.errors["/api/v1/namespaces/default/pods/web-0"] = "Error from server (Forbidden): pods is forbidden"
    answer = ask(cluster, "why", "web-0")
    assert answer.status == 1
    assert "there is no" not in answer.err
