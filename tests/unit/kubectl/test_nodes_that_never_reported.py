"""`why NODE` for a node without a SriovNode tells of its Node and of virtfn's pods. `nodes` counts what is unread."""

from __future__ import annotations

from typing import Any

import pytest
from fake_cluster import Answer, Ask, FakeCluster, agent, cluster_of, recorded

Body = dict[str, Any]
NODES = "/apis/virtfn.dev/v1alpha1/sriovnodes"
POLICIES = "/apis/virtfn.dev/v1alpha1/sriovpolicies"
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def cluster(*pods: Body, node: Body | None = READY, name: str = "node-9") -> FakeCluster:
    """Return a healthy cluster with one more Node of this status, and pods of virtfn."""
    found = cluster_of(recorded("healthy"))
    found.lists["/api/v1/nodes"] += [] if node is None else [{"metadata": {"name": name}, "status": node}]
    found.lists["/api/v1/pods"] += pods
    return found


def waiting(reason: str, node: str = "node-9") -> Body:
    state = {"waiting": {"reason": reason, "message": "as the kubelet says"}}
    found: Body = agent(node=node)
    return found | {"status": {"phase": "Pending", "containerStatuses": [{"state": state}]}}


def told(answer: Answer) -> dict[str, str]:
    assert answer.document["kind"] == "node"
    assert answer.document["verdict"]["message"] == "its agent has never reported"
    return {point["subject"]: point["message"] for point in answer.document["points"]}


@pytest.mark.parametrize("what", ["node/node-9", "svn/node-9", "node-9"])
def test_a_node_without_any_pod_says_so(ask: Ask, what: str) -> None:
    answer = ask(cluster(), "why", what, "--json")
    assert answer.status == 1
    assert told(answer)["virtfn-agent"] == "no pod of virtfn-agent is on this node"


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "CreateContainerConfigError", "CrashLoopBackOff"])
@pytest.mark.parametrize("node", [READY, None], ids=["with its Node", "without"])
def test_a_pod_that_does_not_start_is_the_reason(ask: Ask, reason: str, node: Body | None) -> None:
    answer = ask(cluster(waiting(reason), node=node), "why", "node/node-9", "--json")
    assert answer.status == 1
    assert told(answer)["virtfn-agent, pod virtfn-system/virtfn-agent-x"] == "as the kubelet says"
    assert reason in {point["reason"] for point in answer.document["points"]}


def test_a_kubelet_that_is_not_ready_is_told(ask: Ask) -> None:
    answer = ask(cluster(node={}), "why", "node/node-9", "--json")
    assert told(answer)["Node node-9"] == "its kubelet is not ready, so its agent may not run"


def test_a_node_whose_pods_run_is_sent_to_them(ask: Ask) -> None:
    plugin = agent(name="virtfn-deviceplugin-x", node="node-9")
    plugin["metadata"]["labels"] = {**plugin["metadata"]["labels"], "app.kubernetes.io/component": "deviceplugin"}
    answer = ask(cluster(agent(node="node-9"), plugin), "why", "node/node-9", "--json")
    assert answer.status == 1
    assert told(answer) == {"node node-9": "its agent has never reported"}
    assert "kubectl get pods -A -l app.kubernetes.io/name=virtfn" in answer.document["points"][0]["next"]


@pytest.mark.parametrize("path", ["/api/v1/pods", "/api/v1/nodes"])
def test_what_may_not_be_read_is_complained_of(ask: Ask, path: str) -> None:
    asked = cluster(waiting("ImagePullBackOff"))
    asked.errors[path] = "Error from server (Forbidden): it is forbidden"
    answer = ask(asked, "why", "node/node-9", "--json")
    assert answer.status == 1
    assert "it is forbidden" in answer.err
    assert "no pod of virtfn-agent is on this node" not in told(answer).values()


def test_where_neither_may_be_read_it_is_not_there(ask: Ask) -> None:
    asked = cluster()
    asked.errors |= dict.fromkeys(("/api/v1/nodes", "/api/v1/pods"), "Error from server (Forbidden): no")
    assert ask(asked, "why", "node/node-9").status == 4


def test_a_sriovnode_that_cannot_be_read_may_be_its_own(ask: Ask) -> None:
    asked = cluster()
    asked.lists[NODES] = [*asked.lists[NODES], {"metadata": {"name": ""}}]
    messages = told(ask(asked, "why", "node/node-9", "--json")).values()
    assert "SriovNode number 3 of the list cannot be read: it has no name" in messages


@pytest.mark.parametrize(("words", "kind"), [("fast", "policy"), ("policy/fast", "policy"), ("dpdk-0", "pod")])
def test_a_policy_or_a_pod_is_not_hidden_by_a_node_of_its_name(ask: Ask, words: str, kind: str) -> None:
    asked = cluster(name=words.rpartition("/")[2])
    answer = ask(asked, "why", words, "--json")
    assert (answer.status, answer.document["kind"]) == (0, kind)


@pytest.mark.parametrize("verb", ["list", "explain"])
def test_where_other_verbs_send_there_is_an_answer(ask: Ask, verb: str) -> None:
    asked = cluster(waiting("ImagePullBackOff"))
    words = ("0000:3b:00.0",) if verb == "explain" else ()
    step = ask(asked, verb, "node-9", *words).err.strip().rpartition("kubectl virtfn ")[2]
    assert ask(asked, *step.split(), "--json").document["points"]


# --- the exit status of `nodes` --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [NODES, POLICIES])
@pytest.mark.parametrize("kept", [True, False], ids=["beside others", "alone"])
def test_nodes_ends_as_status_does_where_something_is_unread(ask: Ask, path: str, kept: bool) -> None:
    asked = cluster()
    asked.lists[path] = [*asked.lists[path], {"metadata": {"name": ""}}]
    if not kept:
        asked.lists |= {it: asked.lists[it][-1:] if it == path else [] for it in (NODES, POLICIES)}
    assert ask(asked, "nodes").status == ask(asked, "status").status == 1
