"""Send hostile objects to a real API server while one good policy is edited; the good one is carried out in time.

Objects that the schema refuses are counted. Controller and agent must cope with the others: policies that match the
node, and SriovNodes of nodes without a kubelet. A short test in tests/cluster, 3,000 objects in `make prove`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from virtfn_lab import containers
from virtfn_lab.bulk import Answer, Request, send
from virtfn_lab.cluster import LabError
from virtfn_lab.node import RIGHT, Node, policy
from virtfn_lab.product import allocatable, functions

API = "/apis/virtfn.dev/v1alpha1"
POLICIES, NODES = f"{API}/sriovpolicies", f"{API}/sriovnodes"

TOLD = 30.0
"""Limit in seconds from an edit until the node's spec has it. It takes 10 s on an emulated node (most of it the
controller's pause), and longer on a loaded machine; only a controller that stands still is to fail here."""

CARRIED_OUT = 60.0
"""Limit in seconds from an edit until it is carried out, on an emulated node."""

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The result for some objects, and for the good policy beside them."""

    what: str
    tried: int
    refused: int
    told: float
    """Seconds until the node's spec had the good policy's edit."""
    carried_out: float
    """Seconds until that edit was carried out."""
    memory: int
    """Memory of the leading controller, in MiB."""

    def __str__(self) -> str:
        return (
            f"{self.tried} {self.what}, {self.refused} refused by the schema; good edit told after {self.told:.1f} s, "
            f"carried out after {self.carried_out:.1f} s; controller {self.memory} MiB"
        )


def storm(node: Node, policies: Sequence[Body], nodes: Sequence[Body], size: int) -> Iterator[Batch]:
    """Send policies and SriovNodes, `size` at a time.

    Raises:
        LabError: a process ended, the good policy was not carried out in time, or something stayed.
    """
    before, restarts = functions(node.cluster), containers.restarts(node.cluster)
    node.apply(
        policy("good", 7, RIGHT, priority=1000, nodeSelector={"matchLabels": {"kubernetes.io/hostname": "node-1"}})
    )
    node.converged()
    counts = 7
    for begin in range(0, max(len(policies), len(nodes)), size):
        for what, bodies in (("policies", policies), ("SriovNodes", nodes)):
            if not (some := bodies[begin : begin + size]):
                continue
            counts = 10 - counts
            with _made(node, what, some) as refused:
                told, done = _good_edit(node, counts)
                if ended := containers.ended_since(node.cluster, restarts):
                    raise LabError(f"{what} from {begin} on: a process ended: {ended}")
                memory = _memory(node)
            yield Batch(what=what, tried=len(some), refused=refused, told=told, carried_out=done, memory=memory)
    node.cluster.kubectl("delete", "svp", "good")
    node.until("everything is given back", lambda: functions(node.cluster) == before)
    node.converged()
    left = node.cluster.kubectl("get", "svp,svn,nodes", "-o", "name").stdout.split()
    if left != ["sriovnode.virtfn.dev/node-1", "node/node-1"]:
        raise LabError(f"left behind: {left}")


@contextmanager
def _made(node: Node, what: str, bodies: Sequence[Body]) -> Iterator[int]:
    """Send objects, and remove those that were created, also after a failure: later tests see them otherwise. Yields
    the number refused."""
    made, refused = _made_policies(node, bodies) if what == "policies" else _made_nodes(node, bodies)
    try:
        yield refused
    finally:
        send(node.cluster, [Request(method="DELETE", path=path) for path in made])


def _made_policies(node: Node, bodies: Sequence[Body]) -> tuple[list[str], int]:
    """Send policies; return the paths of those that were created, and the number refused."""
    answers = send(node.cluster, [Request(method="POST", path=POLICIES, body=body) for body in bodies])
    made = [f"{POLICIES}/{answer.name}" for answer in answers if answer.name]
    return made, _refused(answers)


def _made_nodes(node: Node, bodies: Sequence[Body]) -> tuple[list[str], int]:
    """Send SriovNodes, each with a Node that no kubelet and no DaemonSet serves, so that the controller counts it."""
    names = [f"phantom-{number}" for number in range(len(bodies))]
    labels = {"kubernetes.io/os": "none"}
    nodes = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}} for name in names]
    send(node.cluster, [Request(method="POST", path="/api/v1/nodes", body=body) for body in nodes])
    renamed = [{**body, "metadata": {"name": name}} for name, body in zip(names, bodies, strict=True)]
    answers = send(node.cluster, [Request(method="POST", path=NODES, body=body) for body in renamed])
    there = [(answer.name, body) for answer, body in zip(answers, bodies, strict=True) if answer.name]
    statuses = [
        Request(method="PATCH", path=f"{NODES}/{name}/status", body={"status": body.get("status")})
        for name, body in there
    ]
    refused = _refused(answers) + _refused(send(node.cluster, statuses))
    return [f"{NODES}/{name}" for name, _ in there] + [f"/api/v1/nodes/{name}" for name in names], refused


def _refused(answers: Sequence[Answer]) -> int:
    """Return how many objects the API server refused as invalid.

    Raises:
        LabError: the API server refused one for another reason.
    """
    for answer in answers:
        if answer.status not in (200, 201, 400, 409, 413, 422):
            raise LabError(f"the API server answers {answer.status}: {answer.message}")
    return sum(not answer.name for answer in answers)


def _good_edit(node: Node, count: int) -> tuple[float, float]:
    began = time.monotonic()
    generation = node.edit("good", count)
    node.until(f"node-1 is told of the good policy's generation {generation}", lambda: _told(node) == generation, TOLD)
    told = time.monotonic() - began
    node.until(f"{count} VFs of the good policy", lambda: _stands(node, generation, count), CARRIED_OUT)
    return told, time.monotonic() - began


def _told(node: Node) -> int:
    spec: Any = node.cluster.get("svn", "node-1")["spec"]
    return next((entry["generation"] for entry in spec["policies"] if entry["name"] == "good"), 0)


def _stands(node: Node, generation: int, count: int) -> bool:
    status: Any = node.cluster.get("svp", "good").get("status") or {}
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    told = status["observedGeneration"] == generation and ready["status"] == "True"
    return told and allocatable(node.cluster, "virtfn.dev/good") == count


def _memory(node: Node) -> int:
    """Return the leading controller's memory as the kernel counts it, in MiB."""
    leader = node.container(containers.CONTROLLER)
    read = node.shell(f"cat $(find /sys/fs/cgroup -type d -name {leader.id})/memory.current")
    return int(read) // 2**20
