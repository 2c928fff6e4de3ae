"""Requests with a stolen token, and the wall that each should meet: RBAC, an admission policy, or none.

For tests in tests/cluster. It also makes what they need beside the chart: a second Node that is only an object, with a
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
"""The lab's node, and the one that is only an object."""

CORE = "/api/v1"
OURS = "/apis/virtfn.dev/v1alpha1"
NODES, POLICIES = f"{OURS}/sriovnodes", f"{OURS}/sriovpolicies"
EVENTS = "/apis/events.k8s.io/v1/namespaces"
LEASES = "/apis/coordination.k8s.io/v1/namespaces"
MERGE = "application/merge-patch+json"


class Wall(StrEnum):
    """What refuses a request."""

    RBAC = "RBAC"
    POLICY = "policy"
    """A ValidatingAdmissionPolicy of the chart."""
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
    """A part of the expected answer."""


Row = tuple[Any, ...]
"""What is tried, method, path; then optionally the body, and a part of the expected answer."""


def rows(who: str, wall: Wall, *several: Row) -> list[Case]:
    """Make the lines that share a token and a wall."""
    found = []
    for row in several:
        what, method, path = row[:3]
        body, says = (row + (None, "")[len(row) - 3 :])[3:]
        found.append(Case(who=who, what=what, method=method, path=path, body=body, wall=wall, says=says))
    return found


def wall(answer: Answer) -> Wall | None:
    """Return which wall gave this answer; None if no wall did."""
    if answer.status < 300:
        return Wall.NONE
    if answer.status == 401:
        return Wall.TOKEN
    if "ValidatingAdmissionPolicy 'virtfn-" in answer.message:
        return Wall.POLICY
    # RBAC's answer begins like this; an admission plugin's has the object's name in between.
    return Wall.RBAC if answer.status == 403 and "cannot " in answer.message else None


def tried(cluster: Cluster, cases: Sequence[Case], tokens: Mapping[str, str]) -> list[str]:
    """Send all requests and print the table; return the lines with an unexpected answer."""
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
    """Return a SriovNode as an agent makes it, with changes to its metadata and other fields beside it."""
    named = {"name": name} if name else {}
    metadata = named | {"ownerReferences": [owner(name or OWN)]} | more.pop("metadata", {})
    return {"apiVersion": "virtfn.dev/v1alpha1", "kind": "SriovNode", "metadata": metadata} | more


def owner(name: str, **more: Any) -> dict[str, Any]:
    """Return an owner reference to a Node, changed by `more`."""
    return {"apiVersion": "v1", "kind": "Node", "name": name, "uid": "0b6c22f6-0000-4000-8000-000000000000"} | more


def event(
    kind: str = "SriovNode",
    name: str = OWN,
    *,
    group: str = "virtfn.dev/v1alpha1",
    namespace: str = "default",
    **more: Any,
) -> dict[str, Any]:
    """Return an Event as virtfn posts it, or with other fields."""
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
    """Make a second Node, its SriovNode and a pod of the agent's account, all only objects; yield the pod's name."""
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
        # The SriovNode has no owner: with a wrong uid of an owner it would be garbage-collected at once.
        for document in (node, pod, svn(OTHER, metadata={"ownerReferences": []})):
            cluster.kubectl("apply", "-f", "-", stdin=json.dumps(document))
        yield name
    finally:
        forget = ("--ignore-not-found", "--wait=true")
        cluster.kubectl("delete", "pod", name, "-n", NAMESPACE, "--force", "--grace-period=0", *forget, check=False)
        cluster.kubectl("delete", "svn", OTHER, *forget)
        cluster.kubectl("delete", "node", OTHER, *forget)


def all_tokens(cluster: Cluster, elsewhere: str) -> dict[str, str]:
    """Return tokens: of the agent on node-1, on the other node and without a pod; of the controller; of the plugin."""
    return {
        f"agent of {OWN}": token(cluster, NAMESPACE, "virtfn-agent", pod_of(cluster, "agent")),
        f"agent of {OTHER}": token(cluster, NAMESPACE, "virtfn-agent", elsewhere),
        "agent of no pod": token(cluster, NAMESPACE, "virtfn-agent"),
        "controller": token(cluster, NAMESPACE, "virtfn-controller"),
        "deviceplugin": token(cluster, NAMESPACE, "virtfn-deviceplugin"),
        "nobody": "",
    }


def pod_of(cluster: Cluster, component: str) -> str:
    """Return the name of a running pod of a component, on the lab's node."""
    selector = f"app.kubernetes.io/component={component}"
    found: Any = cluster.get("pods", "-n", NAMESPACE, "-l", selector, f"--field-selector=spec.nodeName={OWN}")
    running = [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]
    return str(running[0]["metadata"]["name"])
