"""The containers of virtfn as the API server and the node show them: their states, and ways to end them.

For tests that end or stop a container on purpose and then check the state that follows. A container is known by its id:
the one that the kubelet starts in its place has another id, so the two are never confused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from virtfn_lab.cluster import Cluster, LabError
from virtfn_lab.product import NAMESPACE

AGENT, HOST, PLUGIN, CONTROLLER = "agent", "host", "deviceplugin", "controller"
ALL = (AGENT, HOST, PLUGIN, CONTROLLER)

Restarts = Mapping[tuple[str, str], int]
"""Restart counts by pod and container."""

LEASE_LOST = 3
"""The exit status of a controller that could not renew its lease."""

TOO_LITTLE = "1M"
"""A memory limit below what any of these processes needs, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container as it was at one moment."""

    name: str
    pod: str
    address: str
    """IP address of its pod."""
    id: str
    restarts: int
    """How often it was restarted; 0 in a new pod."""
    ready: bool
    ended: str
    """Why its predecessor in this pod ended (`OOMKilled`, `Error`); empty without a predecessor."""


def containers(cluster: Cluster) -> tuple[Container, ...]:
    """Return all containers that run now; one that waits for its restart is left out."""
    return tuple(
        Container(
            name=status["name"],
            pod=pod["metadata"]["name"],
            address=pod["status"].get("podIP", ""),
            id=status["containerID"].rpartition("/")[2],
            restarts=status["restartCount"],
            ready=status["ready"],
            ended=(status.get("lastState", {}).get("terminated") or {}).get("reason", ""),
        )
        for pod, status in _statuses(cluster)
        if "running" in status["state"]
    )


def _statuses(cluster: Cluster) -> list[tuple[Any, Any]]:
    """Return each pod with the kubelet's status of each of its containers."""
    pods: Any = cluster.get("pods", "-n", NAMESPACE)["items"]
    return [(pod, status) for pod in pods for status in pod["status"].get("containerStatuses", ())]


def running(cluster: Cluster, name: str) -> Container | None:
    """Return the running container of this name (of the controllers the leader), or None."""
    found = [one for one in containers(cluster) if one.name == name]
    if name == CONTROLLER:
        lease: Any = cluster.get("lease", "virtfn-controller", "-n", NAMESPACE)
        found = [one for one in found if one.pod == lease["spec"].get("holderIdentity")]
    return found[0] if len(found) == 1 else None


def restarts(cluster: Cluster) -> Restarts:
    """Return how often each container of each pod was restarted, whether it runs now or waits."""
    return {(pod["metadata"]["name"], status["name"]): status["restartCount"] for pod, status in _statuses(cluster)}


def ended_since(cluster: Cluster, before: Restarts, expected: tuple[str, str] | None = None) -> list[str]:
    """Return the containers that are gone or were restarted, each with its last words; `expected` may restart once.

    A controller that could not renew its lease in time is left out: it must end then, and an emulated node that is
    short of CPU cannot renew.
    """
    told = []
    now = {(pod["metadata"]["name"], status["name"]): status for pod, status in _statuses(cluster)}
    for (pod, name), count in before.items():
        status: Any = now.get((pod, name), {"restartCount": -1})
        again = status["restartCount"] - count - ((pod, name) == expected)
        if not again:
            continue
        ended = status.get("lastState", {}).get("terminated") or {}
        if name != CONTROLLER or ended.get("exitCode") != LEASE_LOST:
            told.append(
                f"{pod} {name}: started {again} times more than expected; exit status {ended.get('exitCode')}, "
                f"last words: {ended.get('message', '')}"
            )
    return told


def log(cluster: Cluster, container: Container) -> list[str]:
    """Return a container's log so far; empty if the container is gone."""
    words = ("logs", "-n", NAMESPACE, container.pod, "-c", container.name)
    return cluster.kubectl(*words, check=False).stdout.splitlines()


def kill(cluster: Cluster, container: Container) -> None:
    """Send SIGKILL to a container's first process.

    Raises:
        LabError: the container does not run any more.
    """
    _on_node(cluster, container, "kill -9 $(sort -n $group/cgroup.procs | head -1)")


def run_out_of_memory(cluster: Cluster, container: Container) -> None:
    """Take a container's memory away, so that the OOM killer ends all of its processes at once.

    Raises:
        LabError: the container does not run any more.
    """
    # This write makes the kernel reclaim memory and then kill. The cgroup ends with the container.
    _on_node(cluster, container, f"echo {TOO_LITTLE} > $group/memory.max")


@contextmanager
def frozen(cluster: Cluster, container: Container) -> Iterator[None]:
    """Within this context a container's processes stand still. Stay shorter than its liveness probes allow.

    Raises:
        LabError: the container does not run any more.
    """
    _on_node(cluster, container, "echo 1 > $group/cgroup.freeze")
    try:
        yield
    finally:
        _on_node(cluster, container, "echo 0 > $group/cgroup.freeze")


def _on_node(cluster: Cluster, container: Container, command: str) -> None:
    """Run a shell command in which $group is the container's cgroup folder."""
    find = f'group=$(find /sys/fs/cgroup -type d -name {container.id}); [ -n "$group" ] || exit 1; '
    done = cluster.node_exec(1, find + command)
    if done.returncode != 0:
        raise LabError(f"{container.name} {container.id[:12]}: {command}: exit {done.returncode}\n{done.stdout}")
