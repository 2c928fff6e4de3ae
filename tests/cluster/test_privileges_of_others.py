"""What controller and device plugin are refused, what everybody is allowed, and that the policies stand without RBAC.

The last is the counter-proof of both walls: with every right on our kinds given to the accounts, the policies alone
refuse; and with the policies' refusals known, what the processes live by is let through.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from virtfn_lab.cluster import Cluster
from virtfn_lab.privileges import (
    CORE,
    EVENTS,
    LEASES,
    NODES,
    OTHER,
    OURS,
    OWN,
    POLICIES,
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

AGENT, ELSEWHERE, CONTROLLER, PLUGIN = f"agent of {OWN}", f"agent of {OTHER}", "controller", "deviceplugin"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
PODS, ACCOUNTS = f"{CORE}/namespaces/{NAMESPACE}/pods", f"{CORE}/namespaces/{NAMESPACE}/serviceaccounts"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
LEASE = f"{LEASES}/{NAMESPACE}/leases"
EVENT = f"{EVENTS}/default/events"
FINALIZERS = {"metadata": {"finalizers": ["tried.example/stay"]}}
NO_OWNERS: Any = {"metadata": {"ownerReferences": []}}
LABELS = {"metadata": {"labels": {"a": "b"}}}
READY = {"status": {"agentVersion": "0.0.0"}}
NO_SPEC: Any = {"spec": {"policies": []}}
NEW_LEASE = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "tried"}, "spec": {}}


EVICTION = f"{CORE}/namespaces/default/pods/any/eviction"


def _eviction(uid: str = "", namespace: str = "default", **options: Any) -> dict[str, Any]:
    """Return an eviction; admission policies judge it before the API server looks for the pod."""
    options |= {"preconditions": {"uid": uid}} if uid else {}
    metadata = {"namespace": namespace, "name": "any"}
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata, "deleteOptions": options}


def _turn(note: str | None) -> dict[str, Any]:
    return {"metadata": {"annotations": {"virtfn.dev/turn": note}}}


REFUSED = [
    *rows(
        CONTROLLER,
        Wall.RBAC,
        ("reads every secret", "GET", f"{CORE}/secrets"),
        ("reads a pod", "GET", f"{PODS}/any"),
        ("makes a pod", "POST", PODS, {"kind": "Pod"}),
        ("deletes a pod", "DELETE", f"{PODS}/any"),
        ("runs a command in a pod", "POST", f"{PODS}/any/exec?command=id&container=host"),
        ("cordons a node", "PATCH", f"{CORE}/nodes/{OWN}", {"spec": {"unschedulable": True}}),
        ("writes a node's report", "PATCH", f"{NODES}/{OWN}/status", READY),
        ("makes a SriovNode", "POST", NODES, svn("phantom")),
        ("deletes a SriovNode", "DELETE", f"{NODES}/{OWN}"),
        ("deletes a policy", "DELETE", f"{POLICIES}/any"),
        ("edits a policy", "PATCH", f"{POLICIES}/any", {"spec": {}}),
        ("writes a lease of kube-system", "PATCH", f"{LEASES}/kube-system/leases/any", {"spec": {}}),
        ("writes another lease of its namespace", "PATCH", f"{LEASE}/any", {"spec": {}}),
        ("deletes its lease", "DELETE", f"{LEASE}/virtfn-controller"),
        ("makes itself administrator", "POST", BINDINGS, {"kind": "ClusterRoleBinding"}),
        ("takes an agent's token", "POST", f"{ACCOUNTS}/virtfn-agent/token", {"spec": {}}),
        ("unbinds its policy", "DELETE", f"{ADMISSION}/validatingadmissionpolicybindings/virtfn-controller"),
    ),
    *rows(
        CONTROLLER,
        Wall.POLICY,
        ("takes a SriovNode's owner away", "PATCH", f"{NODES}/{OWN}", NO_OWNERS, "owners"),
        ("puts a finalizer on a SriovNode", "PATCH", f"{NODES}/{OWN}", FINALIZERS, "finalizers"),
        ("labels a SriovNode", "PATCH", f"{NODES}/{OWN}", LABELS, "labels"),
        ("annotates a SriovNode", "PATCH", f"{NODES}/{OWN}", {"metadata": {"annotations": {"a": "b"}}}, "annotations"),
        ("notes a long turn", "PATCH", f"{NODES}/{OWN}", _turn("x" * 512), "annotations"),
        ("evicts whatever has a name", "POST", EVICTION, _eviction(), "by its uid"),
        ("evicts without a grace period", "POST", EVICTION, _eviction("u", gracePeriodSeconds=0), "grace period"),
        ("evicts a pod of virtfn", "POST", f"{PODS}/any/eviction", _eviction("u", NAMESPACE), "none of virtfn"),
        ("makes a lease of another name", "POST", LEASE, NEW_LEASE, "virtfn-controller only"),
        ("posts an event about a pod", "POST", EVENT, event("Pod", group="v1"), "own objects"),
    ),
    *rows(
        PLUGIN,
        Wall.RBAC,
        ("reads a SriovNode", "GET", f"{NODES}/{OWN}"),
        ("writes a SriovNode's status", "PATCH", f"{NODES}/{OWN}/status", READY),
        ("reads policies", "GET", POLICIES),
        ("reads its node", "GET", f"{CORE}/nodes/{OWN}"),
        ("posts an event", "POST", EVENT, event()),
    ),
    *rows("nobody", Wall.RBAC, ("reads SriovNodes", "GET", NODES, None, "system:anonymous")),
]

ALLOWED = [
    *rows(
        ELSEWHERE,
        Wall.NONE,
        ("writes its status", "PATCH", f"{NODES}/{OTHER}/status", READY),
        ("posts an event about it", "POST", EVENT, event(name=OTHER)),
    ),
    *rows(
        CONTROLLER,
        Wall.NONE,
        ("writes its spec", "PATCH", f"{NODES}/{OTHER}", NO_SPEC),
        ("notes its turn", "PATCH", f"{NODES}/{OTHER}", _turn("2026-01-01T00:00:00Z")),
        ("ends its turn", "PATCH", f"{NODES}/{OTHER}", _turn(None)),
        ("posts an event about a policy", "POST", EVENT, event("SriovPolicy", name="tried")),
    ),
    *rows(
        AGENT,
        Wall.NONE,
        ("reads its SriovNode", "GET", f"{NODES}/{OWN}"),
        ("reads its Node", "GET", f"{CORE}/nodes/{OWN}"),
        # Nothing refuses these, because the API server judges no reads by content; docs/security.md says so.
        ("reads another node's SriovNode", "GET", f"{NODES}/{OTHER}"),
        ("reads another Node", "GET", f"{CORE}/nodes/{OTHER}"),
    ),
]

DRY = "?dryRun=All"
"""Where a wall that falls would take the lab with it."""

WITH_EVERY_RIGHT = [
    *rows(
        AGENT,
        Wall.POLICY,
        ("writes its own spec", "PATCH", f"{NODES}/{OWN}{DRY}", {"spec": {"mayChange": True}}, "not the agent's"),
        ("takes its owner away", "PATCH", f"{NODES}/{OWN}{DRY}", NO_OWNERS, "not the agent's"),
        ("puts a finalizer on its SriovNode", "PATCH", f"{NODES}/{OWN}{DRY}", FINALIZERS, "not the agent's"),
        ("labels its SriovNode", "PATCH", f"{NODES}/{OWN}{DRY}", LABELS, "not the agent's"),
        ("deletes its SriovNode", "DELETE", f"{NODES}/{OWN}{DRY}", None, "not the agent's"),
        ("deletes another node's SriovNode", "DELETE", f"{NODES}/{OTHER}{DRY}", None, "own node only"),
        ("deletes every SriovNode", "DELETE", f"{NODES}{DRY}"),
        ("writes another node's spec", "PATCH", f"{NODES}/{OTHER}{DRY}", NO_SPEC, "own node only"),
        ("writes another node's status", "PATCH", f"{NODES}/{OTHER}/status{DRY}", READY, "own node only"),
    ),
    *rows(
        CONTROLLER,
        Wall.POLICY,
        ("writes a node's report", "PATCH", f"{NODES}/{OWN}/status{DRY}", READY, "nothing else"),
        ("makes a SriovNode", "POST", f"{NODES}{DRY}", svn("phantom"), "nothing else"),
        ("deletes a SriovNode", "DELETE", f"{NODES}/{OWN}{DRY}", None, "nothing else"),
        ("deletes every SriovNode", "DELETE", f"{NODES}{DRY}", None, "nothing else"),
        ("edits a policy", "PATCH", f"{POLICIES}/tried{DRY}", {"spec": {"priority": 1000}}, "nothing else"),
        ("deletes a policy", "DELETE", f"{POLICIES}/tried{DRY}", None, "nothing else"),
        ("deletes its lease", "DELETE", f"{LEASE}/virtfn-controller{DRY}", None, "virtfn-controller only"),
    ),
]


@pytest.fixture(scope="module")
def tokens(cluster: Cluster) -> Iterator[dict[str, str]]:
    """Of everybody, with a second node there."""
    with other_node(cluster) as elsewhere:
        yield all_tokens(cluster, elsewhere)


def test_controller_and_device_plugin_have_no_more_than_their_work(cluster: Cluster, tokens: Mapping[str, str]) -> None:
    assert tried(cluster, REFUSED, tokens) == []


def test_what_the_processes_live_by_is_allowed(cluster: Cluster, tokens: Mapping[str, str]) -> None:
    cluster.kubectl("delete", "svn", OTHER)
    node: Any = cluster.get("node", OTHER)
    own = {"ownerReferences": [owner(OTHER, uid=node["metadata"]["uid"])]}
    first = rows(ELSEWHERE, Wall.NONE, ("makes its SriovNode", "POST", NODES, svn(OTHER, metadata=own)))
    assert tried(cluster, [*first, *ALLOWED], tokens) == []


def test_the_policies_stand_where_somebody_gave_every_right(cluster: Cluster, tokens: Mapping[str, str]) -> None:
    """A role that was bound by mistake, or aggregated, opens nothing of ours."""
    with _every_right(cluster), _policy(cluster):
        assert tried(cluster, WITH_EVERY_RIGHT, tokens) == []


@contextmanager
def _every_right(cluster: Cluster) -> Iterator[None]:
    """Agent and controller may do everything with our kinds and with leases, as far as RBAC goes."""
    role: dict[str, Any] = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "tried-every-right"},
        "rules": [
            {"apiGroups": ["virtfn.dev", "coordination.k8s.io"], "resources": ["*"], "verbs": ["*"]},
        ],
    }
    accounts = [f"--serviceaccount={NAMESPACE}:virtfn-{name}" for name in ("agent", "controller")]
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(role))
    cluster.kubectl("create", "clusterrolebinding", "tried-every-right", "--clusterrole=tried-every-right", *accounts)
    account = f"system:serviceaccount:{NAMESPACE}:virtfn-agent"
    may = ("auth", "can-i", "delete", "sriovnodes.virtfn.dev", f"--as={account}")
    try:
        cluster.until("RBAC knows", lambda: cluster.kubectl(*may, check=False).returncode == 0, 10)
        yield
    finally:
        cluster.kubectl("delete", "clusterrolebinding,clusterrole", "tried-every-right")
        cluster.until("RBAC forgot", lambda: cluster.kubectl(*may, check=False).returncode != 0, 10)


@contextmanager
def _policy(cluster: Cluster) -> Iterator[None]:
    """A policy for no node."""
    document = {
        "apiVersion": f"{OURS.removeprefix('/apis/')}",
        "kind": "SriovPolicy",
        "metadata": {"name": "tried"},
        "spec": {
            "nodeSelector": {"matchLabels": {"tried.example/nowhere": "true"}},
            "devices": [{"vendor": "8086"}],
            "virtualFunctions": {"count": 1, "pools": [{"resourceName": "tried"}]},
        },
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(document))
    try:
        yield
    finally:
        cluster.kubectl("delete", "svp", "tried")
