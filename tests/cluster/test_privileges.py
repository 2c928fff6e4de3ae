"""Who tried what, and what the API server said: a stolen token of an agent against a real server with the chart.

The token of the agent's pod on node-1, of an agent's pod on another node, and of the agent's account but of no pod.
Every line is asked for as it stands, by HTTP and not by kubectl.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from virtfn_lab.cluster import Cluster
from virtfn_lab.privileges import (
    CORE,
    EVENTS,
    LEASES,
    NODES,
    OTHER,
    OWN,
    POLICIES,
    Case,
    Wall,
    all_tokens,
    event,
    other_node,
    owner,
    rows,
    svn,
    tried,
)
from virtfn_lab.product import NAMESPACE
from virtfn_lab.thief import Request, ask, token

AGENT, ELSEWHERE, UNBOUND = f"agent of {OWN}", f"agent of {OTHER}", "agent of no pod"
RBAC_API, ADMISSION = "/apis/rbac.authorization.k8s.io/v1", "/apis/admissionregistration.k8s.io/v1"
PODS, ACCOUNTS = f"{CORE}/namespaces/{NAMESPACE}/pods", f"{CORE}/namespaces/{NAMESPACE}/serviceaccounts"
DAEMONSETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CERTIFICATES = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
EVENT = f"{EVENTS}/default/events"
OWN_LEASE = f"{LEASES}/kube-node-lease/leases/{OWN}"
NO_SPEC: Any = {"spec": {"policies": []}}
NO_OWNERS: Any = {"metadata": {"ownerReferences": []}}
FINALIZERS = {"metadata": {"finalizers": ["tried.example/stay"]}}
READY = {"status": {"agentVersion": "0.0.0"}}
IN_KUBE_SYSTEM = event(namespace="kube-system")

BEYOND_ITS_KIND = rows(
    AGENT,
    Wall.RBAC,
    ("reads every secret", "GET", f"{CORE}/secrets"),
    ("reads the secrets of its own namespace", "GET", f"{CORE}/namespaces/{NAMESPACE}/secrets"),
    ("reads config maps of kube-system", "GET", f"{CORE}/namespaces/kube-system/configmaps"),
    ("lists pods", "GET", f"{CORE}/pods"),
    ("makes a pod", "POST", PODS, {"kind": "Pod"}),
    ("runs a command in a pod", "POST", f"{PODS}/any/exec?command=id&container=host&stdout=1"),
    ("reads a pod's log", "GET", f"{PODS}/any/log"),
    ("evicts a pod", "POST", f"{PODS}/any/eviction", {}),
    ("lists nodes", "GET", f"{CORE}/nodes"),
    ("labels its node", "PATCH", f"{CORE}/nodes/{OWN}", {"metadata": {"labels": {"a": "b"}}}),
    ("cordons another node", "PATCH", f"{CORE}/nodes/{OTHER}", {"spec": {"unschedulable": True}}),
    ("writes its node's status", "PATCH", f"{CORE}/nodes/{OWN}/status", {"status": {}}),
    ("asks the kubelet through the API server", "GET", f"{CORE}/nodes/{OWN}/proxy/pods"),
    ("reads policies", "GET", POLICIES),
    ("makes a policy", "POST", POLICIES, {"kind": "SriovPolicy"}),
    ("deletes every policy", "DELETE", POLICIES),
    ("writes a policy's status", "PATCH", f"{POLICIES}/any/status", {"status": {}}),
    ("takes the controller's token", "POST", f"{ACCOUNTS}/virtfn-controller/token", {"spec": {}}),
    ("takes another token of its own account", "POST", f"{ACCOUNTS}/virtfn-agent/token", {"spec": {}}),
    ("makes itself administrator", "POST", f"{RBAC_API}/clusterrolebindings", {"kind": "ClusterRoleBinding"}),
    ("widens its role", "PATCH", f"{RBAC_API}/clusterroles/virtfn-agent", {"rules": []}),
    ("asks for a certificate", "POST", CERTIFICATES, {"kind": "CertificateSigningRequest"}),
    ("reads the controller's lease", "GET", f"{LEASES}/{NAMESPACE}/leases/virtfn-controller"),
    ("takes its node's lease", "PATCH", OWN_LEASE, {"spec": {"holderIdentity": "tried"}}),
    ("opens its policy", "PATCH", f"{ADMISSION}/validatingadmissionpolicies/virtfn-agent", {"spec": {}}),
    ("unbinds its policy", "DELETE", f"{ADMISSION}/validatingadmissionpolicybindings/virtfn-agent"),
    ("changes the CRD", "PATCH", f"{CRDS}/sriovnodes.virtfn.dev", {"spec": {}}),
    ("changes its own DaemonSet", "PATCH", f"{DAEMONSETS}/virtfn-agent", {"spec": {}}),
    ("writes its own spec", "PATCH", f"{NODES}/{OWN}", NO_SPEC),
    ("takes its owner away", "PATCH", f"{NODES}/{OWN}", NO_OWNERS),
    ("puts a finalizer on its SriovNode", "PATCH", f"{NODES}/{OWN}", FINALIZERS),
    ("deletes its SriovNode", "DELETE", f"{NODES}/{OWN}"),
    ("deletes every SriovNode", "DELETE", NODES),
    ("writes another node's spec", "PATCH", f"{NODES}/{OTHER}", NO_SPEC),
    ("deletes another node's SriovNode", "DELETE", f"{NODES}/{OTHER}"),
    ("replaces another node's status", "PUT", f"{NODES}/{OTHER}/status", svn(OTHER)),
    ("posts an event in kube-system", "POST", f"{EVENTS}/kube-system/events", IN_KUBE_SYSTEM),
    ("deletes events", "DELETE", EVENT),
)
AS_CONTROLLER = replace(
    rows(AGENT, Wall.RBAC, ("says that it is the controller", "GET", POLICIES, None, "impersonate"))[0],
    headers={"Impersonate-User": f"system:serviceaccount:{NAMESPACE}:virtfn-controller"},
)


def makes(what: str, says: str, name: str = OWN, owners: Any = None, **metadata: Any) -> Case:
    """The agent makes a SriovNode that is not as an agent makes it."""
    found = metadata if owners is None else {"ownerReferences": owners} | metadata
    (case,) = rows(AGENT, Wall.POLICY, (f"makes {what}", "POST", NODES, svn(name, metadata=found), says))
    return case


BEYOND_ITS_NODE = [
    *rows(
        AGENT,
        Wall.POLICY,
        ("writes another node's status", "PATCH", f"{NODES}/{OTHER}/status", READY, f"own node only, which is {OWN}"),
        ("makes its SriovNode with a spec", "POST", NODES, svn(OWN, spec={"policies": []}), "spec"),
        ("makes its SriovNode with an empty spec", "POST", NODES, svn(OWN, spec={}), "spec"),
        ("posts an event about another node", "POST", EVENT, event(name=OTHER), "own node"),
        ("posts an event about a policy", "POST", EVENT, event("SriovPolicy"), "own node"),
        ("posts an event about its Node", "POST", EVENT, event("Node", group="v1"), "own objects"),
        ("posts an event as the kubelet", "POST", EVENT, event(reportingController="kubelet")),
    ),
    makes("the SriovNode of no node", "own node only", name="phantom"),
    makes("a SriovNode with a generated name", "", name="", generateName="node-"),
    makes("another node's SriovNode", "own node only", name=OTHER),
    makes("its SriovNode with a finalizer", "finalizers", finalizers=["tried.example/stay"]),
    makes("its SriovNode with a label", "labels", labels={"a": "b"}),
    makes("its SriovNode with an annotation", "annotations", annotations={"a": "b"}),
    makes("its SriovNode, owned by another node", "owner", owners=[owner(OTHER)]),
    makes("its SriovNode, owned by a namespace", "owner", owners=[owner(OWN, kind="Namespace")]),
    makes("its SriovNode, owned by two", "owner", owners=[owner(OWN), owner(OTHER, uid="1")]),
    makes("its SriovNode, owned by nobody", "owner", owners=[]),
    makes("its SriovNode, its Node's end blocked", "owner", owners=[owner(OWN, blockOwnerDeletion=True)]),
    *rows(
        UNBOUND,
        Wall.POLICY,
        ("writes a status", "PATCH", f"{NODES}/{OWN}/status", READY, "names no node"),
        ("makes a SriovNode", "POST", NODES, svn(OWN), "names no node"),
        ("posts an event", "POST", EVENT, event()),
    ),
    *rows(
        ELSEWHERE,
        Wall.POLICY,
        (f"writes the status of {OWN}", "PATCH", f"{NODES}/{OWN}/status", READY, OTHER),
        (f"makes the SriovNode of {OWN}", "POST", NODES, svn(OWN), OTHER),
        (f"posts an event about {OWN}", "POST", EVENT, event()),
    ),
]


@pytest.fixture(scope="module")
def tokens(cluster: Cluster) -> Iterator[dict[str, str]]:
    """Of everybody, with a second node there."""
    with other_node(cluster) as elsewhere:
        yield all_tokens(cluster, elsewhere)


def test_a_stolen_agent_token_reaches_nothing_beyond_its_kind(cluster: Cluster, tokens: Mapping[str, str]) -> None:
    assert tried(cluster, [*BEYOND_ITS_KIND, AS_CONTROLLER], tokens) == []


def test_a_stolen_agent_token_writes_its_own_node_only(cluster: Cluster, tokens: Mapping[str, str]) -> None:
    before = told(cluster)
    assert tried(cluster, BEYOND_ITS_NODE, tokens) == []
    assert told(cluster) == before


def test_a_spec_in_a_write_of_the_status_is_left_out(cluster: Cluster, tokens: Mapping[str, str]) -> None:
    """The API server takes the status and nothing else: neither spec nor metadata of that request arrive."""
    before = told(cluster)
    body = {"spec": {"mayChange": True, "policies": []}, "status": {}} | FINALIZERS
    assert tried(cluster, rows(AGENT, Wall.NONE, ("smuggles", "PATCH", f"{NODES}/{OWN}/status", body)), tokens) == []
    assert told(cluster) == before


def test_a_token_ends_with_its_pod(cluster: Cluster) -> None:
    with other_node(cluster) as pod:
        stolen = token(cluster, NAMESPACE, "virtfn-agent", pod)
        request = Request(method="GET", path=f"{NODES}/{OWN}", token=stolen)
        assert ask(cluster, [request])[0].status == 200
        cluster.kubectl("delete", "pod", pod, "-n", NAMESPACE, "--force", "--grace-period=0")
        # The API server believes in a token for ten seconds after it looked.
        cluster.until("the token is refused", lambda: ask(cluster, [request])[0].status == 401, 30)


def told(cluster: Cluster) -> dict[str, Any]:
    """Everything of the node's SriovNode that is not the agent's to write."""
    found: Any = cluster.get("svn", OWN)
    words = ("ownerReferences", "finalizers", "labels", "annotations", "uid")
    return {word: found["metadata"].get(word) for word in words} | {"spec": found.get("spec")}
