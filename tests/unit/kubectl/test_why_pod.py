"""`why POD`: which resource, which node, what the kubelet and the plugin said, and what to do next."""

from __future__ import annotations

from typing import Any

import pytest
from fake_cluster import Answer, Ask, cluster_of, recorded

Body = dict[str, Any]
FAST = "virtfn.dev/fast"


def pod(number: int = 1, resource: str = FAST, **spec: Any) -> Body:
    container = {"name": "main", "resources": {"limits": {resource: str(number)}}}
    return {
        "metadata": {"name": "asked", "namespace": "default"},
        "spec": {"containers": [container], **spec},
        "status": {"phase": "Pending"},
    }


def event(kind: str, reason: str, message: str, time: str) -> Body:
    return {
        "metadata": {"name": reason.lower(), "namespace": "default"},
        "involvedObject": {"kind": "Pod", "name": "asked"},
        "type": kind,
        "reason": reason,
        "message": message,
        "lastTimestamp": f"2026-01-01T{time}:00Z",
    }


def why(ask: Ask, fleet: Body, body: Body, *words: str) -> Answer:
    fleet["pods"] = [body]
    return ask(cluster_of(fleet), "why", "pod/asked", *words)


def nodes_of(answer: Answer) -> dict[str, str]:
    return {point["subject"]: point["reason"] for point in answer.document["points"]}


# --- pods that run, ended or were refused ----------------------------------------------------------------------------


def test_a_pod_that_runs_names_its_functions(ask: Ask) -> None:
    answer = ask("healthy", "why", "pod/dpdk-0")
    assert answer.status == 0
    assert "VF 0-1 of 0000:3b:00.0 on node-1" in answer.out


def test_a_refused_pod_has_the_plugins_own_words_and_the_way_out(ask: Ask) -> None:
    answer = ask("failed", "why", "pod/dpdk-2")
    assert answer.status == 1
    assert "  0000:af:10.0 of virtfn.dev/fast is withdrawn: Reconfiguring\n" in answer.out
    assert "delete the pod" in answer.out
    assert "which is unexpected" not in answer.out


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Pod was rejected: Allocate failed due to requested number of devices unavailable", "devices unavailable"),
        ("Pod was rejected: Allocate failed due to rpc error: code = Unknown desc = no, which is unexpected", "  no\n"),
        ("", "gives no message"),
    ],
)
def test_a_refusal_in_other_words_is_told_as_it_is(ask: Ask, message: str, told: str) -> None:
    body = pod(nodeName="node-1")
    body["status"] = {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": message}
    answer = why(ask, recorded("healthy"), body)
    assert answer.status == 1
    assert told in answer.out


def test_a_pod_that_ended_holds_nothing(ask: Ask) -> None:
    body = pod(nodeName="node-1")
    body["status"]["phase"] = "Succeeded"
    assert "holds no function any more" in why(ask, recorded("healthy"), body).out


def test_a_pod_that_is_ending_says_so(ask: Ask) -> None:
    body = pod(nodeName="node-1")
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert "it is ending" in why(ask, recorded("healthy"), body).out


# --- pods that wait for a node ---------------------------------------------------------------------------------------


def test_an_exhausted_pool_names_who_has_its_functions(ask: Ask) -> None:
    fleet = recorded("healthy")
    for node in fleet["nodes"]:
        node["status"]["pools"][0]["inUse"] = 8
    answer = why(ask, fleet, pod(), "--json")
    assert answer.status == 3
    assert answer.document["verdict"]["reason"] == "VfsInUse"
    first = answer.document["points"][0]
    assert first["message"] == "8 of 8 of virtfn.dev/fast are in use, and the pod asks for 1"
    assert first["waitsFor"] == ["pod default/dpdk-0", "pod team-a/vm-7"]
    assert "raise count" in first["next"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda node, member: node["status"]["pools"][0].update(offered=0), "NotOffered"),
        (lambda node, member: member["spec"].update(unschedulable=True), "NodeCordoned"),
        (lambda node, member: member["status"].update(conditions=[]), "NotReady"),
        (lambda node, member: node["status"]["pools"][0].update(inUse=8), "VfsInUse"),
        (lambda node, member: node["status"].update(pools=[]), "Converged"),
        (lambda node, member: node["status"]["pools"][0].update(capacity=1, healthy=1), "VfsInUse"),
    ],
)
def test_each_node_says_why_it_has_no_room(ask: Ask, change: Any, reason: str) -> None:
    fleet = recorded("healthy")
    change(fleet["nodes"][0], fleet["members"][0])
    assert nodes_of(why(ask, fleet, pod(1), "--json"))["node node-1"] == reason


def test_functions_that_are_withheld_are_told_with_their_reason(ask: Ask) -> None:
    fleet = recorded("healthy")
    withheld = [{"devices": ["0000:3b:10.0"], "number": 8, "reason": "NotUsable", "message": "has no device node"}]
    fleet["nodes"][0]["status"]["pools"][0].update(healthy=0, offered=0, withheld=withheld)
    answer = why(ask, fleet, pod(), "--json")
    point = next(it for it in answer.document["points"] if it["subject"] == "node node-1")
    assert (point["reason"], point["message"]) == ("NotUsable", "8 of 8 are withheld: has no device node")


def test_a_pod_that_asks_for_more_than_a_node_has_is_told_so(ask: Ask) -> None:
    answer = why(ask, recorded("healthy"), pod(9))
    assert "the pod asks for 9, and the node has 8 in all" in answer.out
    assert "ask for fewer, or raise count" in answer.out


def test_where_there_is_room_the_schedulers_word_is_told(ask: Ask) -> None:
    body = pod()
    told = "0/2 nodes are available: 2 Insufficient cpu."
    body["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "message": told}]
    answer = why(ask, recorded("healthy"), body)
    assert answer.status == 3
    assert told in answer.out
    assert "virtfn is no obstacle here" in answer.out


def test_a_node_selector_that_selects_no_node_with_the_pool_is_named(ask: Ask) -> None:
    answer = why(ask, recorded("healthy"), pod(nodeSelector={"zone": "b"}))
    assert "no node with zone=b, the pod's nodeSelector, has virtfn.dev/fast (policy fast offers it)" in answer.out


def test_a_policy_that_is_not_carried_out_is_the_reason_of_its_node(ask: Ask) -> None:
    fleet = recorded("failed")
    fleet["nodes"][1]["status"]["pools"] = []
    assert nodes_of(why(ask, fleet, pod(5), "--json"))["node node-2"] == "WriteRefused"


# --- pods that ask for nothing of ours -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["virtfn.dev/fsat", "virtfn.dev/fas", "virtfn.dev/Fast"])
def test_a_misspelt_resource_has_a_proposal(ask: Ask, name: str) -> None:
    answer = why(ask, recorded("healthy"), pod(resource=name))
    assert answer.status == 1
    assert "did you mean virtfn.dev/fast?" in answer.out


@pytest.mark.parametrize("name", ["cpu", "nvidia.com/gpu", "hugepages-1Gi"])
def test_a_pod_without_a_resource_of_a_policy_is_told_what_there_is(ask: Ask, name: str) -> None:
    answer = why(ask, recorded("healthy"), pod(resource=name))
    assert answer.status == 4
    assert "name one in resources.limits: virtfn.dev/fast" in answer.out


# --- pods that a node is starting ------------------------------------------------------------------------------------


def test_the_last_warning_of_a_pod_that_does_not_start_is_told(ask: Ask) -> None:
    fleet = recorded("healthy")
    fleet["events"] = [
        event("Warning", "Old", "was so", "10:00"),
        event("Warning", "FailedMount", "no\nfolder", "11:00"),
        event("Normal", "Pulled", "image", "11:30"),
        {**event("Warning", "OfAnother", "is so", "11:40"), "involvedObject": {"kind": "Pod", "name": "other"}},
    ]
    answer = why(ask, fleet, pod(nodeName="node-1"))
    assert answer.status == 3
    assert "node node-1: Blocked, FailedMount\n  no folder\n" in answer.out
    assert "image" not in answer.out


def test_a_pod_that_is_just_starting_is_no_problem(ask: Ask) -> None:
    answer = why(ask, recorded("healthy"), pod(nodeName="node-1"))
    assert answer.status == 0
    assert "not known" not in answer.out


@pytest.mark.parametrize("error", ["Error from server (Forbidden): no", "Unable to connect to the server: timeout"])
def test_events_that_could_not_be_read_are_not_taken_for_none(ask: Ask, error: str) -> None:
    fleet = recorded("healthy")
    fleet["pods"] = [pod(nodeName="node-1")]
    cluster = cluster_of(fleet)
    cluster.errors["/api/v1/namespaces/default/events"] = error
    answer = ask(cluster, "why", "pod/asked")
    assert "its events could not be read" in " ".join(answer.out.split())


def test_the_pod_is_looked_for_in_the_namespace_of_the_context(ask: Ask) -> None:
    fleet = recorded("healthy")
    body = pod()
    body["metadata"]["namespace"] = "team-a"
    fleet["pods"] = [body]
    assert ask(cluster_of(fleet), "why", "pod/asked").status == 4
    assert ask(cluster_of(fleet, namespace="team-a"), "why", "pod/asked").status == 3
    assert ask(cluster_of(fleet), "why", "pod/asked", "-n", "team-a").status == 3
