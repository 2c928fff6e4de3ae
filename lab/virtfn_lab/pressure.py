"""Hardships for a node with virtfn at work: killed processes, full disks, a clock that jumps.

Each begins and ends from outside. While it lasts, no function in use is touched; after it, the node converges within a
minute without help. One of each is a test in tests/cluster, many are a proof in `make prove`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from virtfn_lab import containers
from virtfn_lab.cluster import LabError
from virtfn_lab.containers import AGENT, CONTROLLER, HOST, PLUGIN, Container, kill, run_out_of_memory
from virtfn_lab.load import Load
from virtfn_lab.node import LEFT, Node, policy
from virtfn_lab.product import functions, pod
from virtfn_lab.stand import JOURNAL, LEDGER, POOLS, Stand, bound, stand

LEFT_POOL, RIGHT_POOL = "virtfn.dev/left", "virtfn.dev/right"

STARTS = 30.0
"""Seconds until the kubelet has restarted a container on an emulated node."""

WAYS = {"SIGKILL": (kill, "Error"), "out of memory": (run_out_of_memory, "OOMKilled")}
"""Ways to end a process, and the reason that the kubelet then reports."""

BLOWS = (
    (AGENT, "out of memory"),
    (HOST, "SIGKILL"),
    (PLUGIN, "out of memory"),
    (CONTROLLER, "SIGKILL"),
    (AGENT, "SIGKILL"),
    (HOST, "out of memory"),
    (PLUGIN, "SIGKILL"),
    (CONTROLLER, "out of memory"),
)
"""Victims in turn: each process once in every four kills, and in both ways in every eight."""

HOUR = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """The result of one hardship."""

    what: str
    seconds: float
    """Seconds from its end until the node was converged."""

    def __str__(self) -> str:
        return f"{self.what}: all as asked {self.seconds:.1f} s later"


def kills(node: Node, number: int, seed: int) -> Iterator[Recovered]:
    """End one process after the other while a policy is edited and pods come and go.

    Raises:
        LabError: the node did not recover in time, or a function in use was touched.
    """
    chance = random.Random(seed)
    with stand(node) as stood:
        node.apply(policy("left", 7, LEFT))
        stood.carried_out(7)
        for index in range(number):
            victim, way = BLOWS[index % len(BLOWS)]
            yield _blow(stood, victim, way, count=(3, 7)[index % 2], delay=chance.uniform(0.5, 3))


def _blow(stood: Stand, victim: str, way: str, count: int, delay: float) -> Recovered:
    node, (end, told) = stood.node, WAYS[way]
    with Load(node, "left", (3, 7), RIGHT_POOL) as load:
        time.sleep(delay)  # the moment of the kill is what is tested
        before = node.container(victim)
        restarts = containers.restarts(node.cluster)
        end(node.cluster, before)
        node.until(f"{victim} is started again", partial(_has_successor, node, before), STARTS)
        after = _successor(node, before)
        if after is None or after.ended != told:
            raise LabError(f"{victim} was to end by {way}, and the kubelet says {after}")
    began = time.monotonic()
    node.edit("left", count)
    stood.carried_out(count)
    node.until(f"{victim} is ready", lambda: _is_ready(_successor(node, before)), STARTS)
    if others := containers.ended_since(node.cluster, restarts, (before.pod, victim)):
        raise LabError(f"not only {victim} ended: {others}")
    what = f"{victim} ended by {way} after {load.edits} edits and {load.pods} pods"
    return Recovered(what=what, seconds=time.monotonic() - began)


def _successor(node: Node, before: Container) -> Container | None:
    """Return the container that the kubelet started in its place."""
    for one in containers.containers(node.cluster):
        if (one.pod, one.name) == (before.pod, before.name) and one.restarts > before.restarts:
            return one
    return None


def _has_successor(node: Node, before: Container) -> bool:
    return _successor(node, before) is not None


def _is_ready(container: Container | None) -> bool:
    return container is not None and container.ready


@contextmanager
def full(node: Node, folder: str) -> Iterator[None]:
    """Within this context this folder's file system is full; in the lab the folder has a file system of its own.

    Raises:
        LabError: the file system did not fill up.
    """
    fill = f"mountpoint -q {folder} || exit 1; dd if=/dev/zero of={folder}/filler bs=4k 2>/dev/null"
    node.shell(f"{fill}; [ $(df --output=avail {folder} | tail -n 1) = 0 ]")
    try:
        yield
    finally:
        node.shell(f"rm {folder}/filler")


def full_disks(node: Node, *, killed: bool = True) -> Iterator[Recovered]:
    """Fill the disks that host, agent and device plugin write to, one after the other, while each has work.

    Args:
        killed: then also fill all three at once and kill the three processes, which must start on full disks.

    Raises:
        LabError: a process acted without having written its file first, or the node did not recover in time.
    """
    folders = {path: path.rpartition("/")[0] for path in (JOURNAL, POOLS, LEDGER)}
    with stand(node) as stood:
        restarts = containers.restarts(node.cluster)
        with full(node, folders[JOURNAL]):
            node.apply(policy("left", 7, LEFT))
            _waits(stood, "JournalUnreadable", 0)
        yield _recovered(stood, "the journal's disk was full", 7)
        with full(node, folders[POOLS]):
            before = node.file(POOLS)
            node.edit("left", 3)
            _waits(stood, "PoolFileUnreadable", 7)
            if node.file(POOLS) != before:
                raise LabError("the pool file is another, and its disk was full")
        yield _recovered(stood, "the pool file's disk was full", 3)
        with full(node, folders[LEDGER]):
            node.apply(pod("refused", resource=LEFT_POOL))
            node.until("the pod is refused", lambda: "cannot be written" in _refusal(node, "refused"))
        node.cluster.kubectl("delete", "pod", "refused")
        node.apply(pod("taken", resource=LEFT_POOL))
        node.holds("taken")
        node.cluster.kubectl("delete", "pod", "taken")
        yield _recovered(stood, "the ledger's disk was full", 3)
        if ended := containers.ended_since(node.cluster, restarts):
            raise LabError(f"a full disk is no reason to end: {ended}")
        if not killed:
            return
        with ExitStack() as disks:
            for folder in folders.values():
                disks.enter_context(full(node, folder))
            for victim in (HOST, AGENT, PLUGIN):
                before_it = node.container(victim)
                kill(node.cluster, before_it)
                node.until(f"{victim} is started again", partial(_has_successor, node, before_it), STARTS)
            generation = node.edit("left", 7)
            node.until("the agent has heard of the edit and says no", lambda: _refused(node, "left", generation))
            _waits(stood, None, 3)
        yield _recovered(stood, "every disk was full while host, agent and plugin were killed and started", 7)


def _waits(stood: Stand, reason: str | None, count: int) -> None:
    """Check that the node says why it does nothing, and that nothing was done."""
    node = stood.node
    if reason is not None:
        node.until(f"the node says {reason}", lambda: node.condition()["reason"] == reason)
    if bound(node, LEFT) != count:
        raise LabError(f"not {count} VFs: {functions(node.cluster)}")
    stood.intact()


def _refused(node: Node, policy: str, generation: int) -> bool:
    """Whether the node knows this generation of the policy and reports that it is not carried out."""
    found: Any = node.cluster.get("svn", "node-1")
    told = {entry["name"]: entry["generation"] for entry in found["spec"]["policies"]}
    (ready,) = [c for c in found["status"]["conditions"] if c["type"] == "Ready"]
    said = ready["status"] != "True" and ready.get("observedGeneration") == found["metadata"]["generation"]
    return told.get(policy) == generation and said


def _refusal(node: Node, name: str) -> str:
    path = "jsonpath={.status.phase} {.status.reason} {.status.message}"
    said = node.cluster.kubectl("get", "pod", name, "-o", path).stdout
    return said if said.startswith("Failed") else ""


def _recovered(stood: Stand, what: str, count: int) -> Recovered:
    return Recovered(what=what, seconds=stood.carried_out(count))


@contextmanager
def clock_off(node: Node, seconds: int) -> Iterator[None]:
    """Within this context the node's clock is ahead by this many seconds, or behind if negative."""
    node.shell(f"date -s @$(( $(date +%s) + {seconds} ))")
    try:
        yield
    finally:
        node.shell(f"date -s @$(( $(date +%s) - {seconds} ))")


def clock_jumps(node: Node) -> Iterator[Recovered]:
    """Set the clock an hour ahead and back, and an hour behind and back.

    A pod that started in the future hour ends in the true one, and its VF must not stay in use for an hour. An hour
    behind, the API server's certificate is not valid yet: the node has no API server, and still repairs drift.

    Raises:
        LabError: the node did not recover in time, or a function in use was touched.
    """
    with stand(node) as stood:
        restarts = containers.restarts(node.cluster)
        node.apply(policy("left", 7, LEFT))
        stood.carried_out(7)
        with clock_off(node, HOUR):
            node.apply(pod("ahead", resource=LEFT_POOL))
            node.holds("ahead")
            node.cluster.kubectl("delete", "pod", "ahead")
            node.edit("left", 3)
            yield _recovered(stood, "in an hour that is yet to come", 3)
            node.apply(pod("from-ahead", resource=LEFT_POOL))
            node.holds("from-ahead")
        node.cluster.kubectl("delete", "pod", "from-ahead")
        node.edit("left", 7)
        yield _recovered(stood, "back from an hour ahead, with a pod of that hour ended", 7)
        with clock_off(node, -HOUR):
            free = next(a for a in _bound(node) if a.startswith(LEFT[:7]))
            node.shell(f"echo {free} > /sys/bus/pci/drivers/vfio-pci/unbind")
            node.until("the VF that was unbound by hand is bound again", lambda: free in _bound(node), 20)
            node.edit("left", 3)
            stood.intact()
        yield _recovered(stood, "back from an hour behind", 3)
        if ended := containers.ended_since(node.cluster, restarts):
            raise LabError(f"a clock is no reason to end: {ended}")


def _bound(node: Node) -> list[str]:
    return [line.split()[0] for line in functions(node.cluster).splitlines() if line.split()[1] == "vfio-pci"]


def every(node: Node, number: int, seed: int) -> Iterator[Recovered]:
    """Run all hardships: `number` kills, and the others after every eighth kill."""
    for begin in range(0, number, len(BLOWS)):
        yield from kills(node, min(len(BLOWS), number - begin), seed + begin)
        yield from full_disks(node)
        yield from clock_jumps(node)
