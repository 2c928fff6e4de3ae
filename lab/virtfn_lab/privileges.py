"""Who tries what with whose token, and which wall it should meet: RBAC, an admission policy, or none.

For the tests of tests/cluster; brings up what they need beside the chart: a second node that is only an object, with a
pod of the agent's account on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from virtfn_lab.cluster import Cluster
from virtfn_lab.product import NAMESPACE
from virtfn_lab.thief import Answer, Request, ask, token

OWN, OTHER = "node-1", "node-9"
"""The lab's node, and one that is an object only."""

CORE = "/api/v1"
OURS = "/apis/virtfn.dev/v1alpha1"
NODES, POLICIES = f"{OURS}/sriovnodes", f"{OURS}/sriovpolicies"
EVENTS = "/apis/events.k8s.io/v1/namespaces"
LEASES = "/apis/coordination.k8s.io/v1/namespaces"
MERGE = "application/merge-patch+json"


class Wall(StrEnum):
    """What answers."""

    RBAC = "RBAC"
    POLICY = "policy"
    """The API server's ValidatingAdmissionPolicy of the chart."""
    TOKEN = "token"
    """The token itself is refused."""
    NONE = "allowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One line of the table."""

    who: str
    what: str
    method: str
    path: str
    body: Any = None
    kind: str = MERGE
    headers: Mapping[str, str] | None = None
    wall: Wall
    says: str = ""
    """Part of the answer."""


Row = tuple[Any, ...]
"""What is tried, method, path; then the body, then part of the answer, where there is one."""


def rows(who: str, wall: Wall, *several: Row) -> list[Case]:
    """Lines that have token and wall in common."""
    found = []
    for row in several:
        what, method, path = row[:3]
        body, says = (row + (None, "")[len(row) - 3 :])[3:]
        found.append(Case(who=who, what=what, method=method, path=path, body=body, wall=wall, says=says))
    return found


def wall(answer: Answer) -> Wall | None:
    """Who said what was said; None when it is no answer of a wall."""
    if answer.status < 300:
        return Wall.NONE
    if answer.status == 401:
        return Wall.TOKEN
    if "ValidatingAdmissionPolicy 'virtfn-" in answer.message:
        return Wall.POLICY
    # RBAC's answer begins so; an admission plugin's has the name of an object between.
    return Wall.RBAC if answer.status == 403 and "cannot " in answer.message else None


def tried(cluster: Cluster, cases: Sequence[Case], tokens: Mapping[str, str]) -> list[str]:
    """Ask for everything and print the table; the lines that are not as they should be."""
    requests = [
        Request(
            method=case.method,
            path=case.path,
            token=tokens[case.who],
            body=case.body,
            kind=case.kind if case.method == "PATCH" else "application/json",
            headers=case.headers or {},
        )
        for case in cases
    ]
    wrong = []
    for case, answer in zip(cases, ask(cluster, requests), strict=True):
        found = wall(answer)
        line = f"{case.who:20s} {case.what:62s} {found or '?':8s} {answer.status} {answer.message[:200]}"
        print(line, flush=True)
        if found is not case.wall or case.says not in answer.message:
            wrong.append(f"want {case.wall} {case.says!r}: {line}")
    return wrong


def svn(name: str, **more: Any) -> dict[str, Any]:
    """A SriovNode as an agent makes it, with more or other in its metadata and beside it."""
    named = {"name": name} if name else {}
    metadata = named | {"ownerReferences": [owner(name or OWN)]} | more.pop("metadata", {})
    return {"apiVersion": "virtfn.dev/v1alpha1", "kind": "SriovNode", "metadata": metadata} | more


def owner(name: str, **more: Any) -> dict[str, Any]:
    """An owner reference to a Node, or to what `more` says."""
    return {"apiVersion": "v1", "kind": "Node", "name": name, "uid": "0b6c22f6-0000-4000-8000-000000000000"} | more


def event(
    kind: str = "SriovNode",
    name: str = OWN,
    *,
    group: str = "virtfn.dev/v1alpha1",
    namespace: str = "default",
    **more: Any,
) -> dict[str, Any]:
    """An Event about something, as virtfn posts it, or with other fields."""
    regarding = {"apiVersion": group, "kind": kind, "name": name}
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": "tried-", "namespace": namespace},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "type": "Normal",
        "reason": "Converged",
        "action": "Ready",
        "note": "tried",
        "regarding": regarding,
        "reportingController": "virtfn.dev/operator",
        "reportingInstance": "tried",
    } | more


@contextmanager
def other_node(cluster: Cluster) -> Iterator[str]:
    """A second Node with its SriovNode and a pod of the agent's account, all of them objects only; the pod's name."""
    name = "virtfn-agent-elsewhere"
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": OTHER}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "nodeName": OTHER,
            "serviceAccountName": "virtfn-agent",
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "agent", "image": "localhost/virtfn/pod:lab"}],
        },
    }
    try:
        # Its SriovNode without an owner: one with a wrong uid would be collected at once.
        for document in (node, pod, svn(OTHER, metadata={"ownerReferences": []})):
            cluster.kubectl("apply", "-f", "-", stdin=json.dumps(document))
        yield name
    finally:
        forget = ("--ignore-not-found", "--wait=true")
        cluster.kubectl("delete", "pod", name, "-n", NAMESPACE, "--force", "--grace-period=0", *forget, check=False)
        cluster.kubectl("delete", "svn", OTHER, *forget)
        cluster.kubectl("delete", "node", OTHER, *forget)


def all_tokens(cluster: Cluster, elsewhere: str) -> dict[str, str]:
    """A token of everybody: the agent of node-1, of the other node, of no pod; the controller; the device plugin."""
    return {
        f"agent of {OWN}": token(cluster, NAMESPACE, "virtfn-agent", pod_of(cluster, "agent")),
        f"agent of {OTHER}": token(cluster, NAMESPACE, "virtfn-agent", elsewhere),
        "agent of no pod": token(cluster, NAMESPACE, "virtfn-agent"),
        "controller": token(cluster, NAMESPACE, "virtfn-controller"),
        "deviceplugin": token(cluster, NAMESPACE, "virtfn-deviceplugin"),
        "nobody": "",
    }


def pod_of(cluster: Cluster, component: str) -> str:
    """A running pod of a component, on the lab's node."""
    selector = f"app.kubernetes.io/component={component}"
    found: Any = cluster.get("pods", "-n", NAMESPACE, "-l", selector, f"--field-selector=spec.nodeName={OWN}")
    running = [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]
    return str(running[0]["metadata"]["name"])
