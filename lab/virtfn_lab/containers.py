"""The containers of virtfn as the API server and the node show them: states and processes, and ways to end them.

For tests that hurt one of them on purpose and then ask for the state that follows. A container is known by its id: the
one that the kubelet starts in its place has another, so nothing here takes an earlier one for a later one.
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
"""By pod and container."""

LEASE_LOST = 3
"""The exit status of a controller that could not renew its lease."""

TOO_LITTLE = "1M"
"""Less memory than any of them can live with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container at one moment."""

    name: str
    pod: str
    address: str
    """IP of its pod."""
    id: str
    restarts: int
    """How often it was started again; a pod that was made anew begins with 0."""
    ready: bool
    ended: str
    """Why the one before it in this pod ended (`OOMKilled`, `Error`); empty when there was none."""


def containers(cluster: Cluster) -> tuple[Container, ...]:
    """All that run now; one that waits to be started again is not there."""
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
    """Each pod with what the kubelet says of each of its containers."""
    pods: Any = cluster.get("pods", "-n", NAMESPACE)["items"]
    return [(pod, status) for pod in pods for status in pod["status"].get("containerStatuses", ())]


def running(cluster: Cluster, name: str) -> Container | None:
    """The one of this name on the lab's only node, or None while there is none; of the controllers the leader."""
    found = [one for one in containers(cluster) if one.name == name]
    if name == CONTROLLER:
        lease: Any = cluster.get("lease", "virtfn-controller", "-n", NAMESPACE)
        found = [one for one in found if one.pod == lease["spec"].get("holderIdentity")]
    return found[0] if len(found) == 1 else None


def restarts(cluster: Cluster) -> Restarts:
    """How often each container of each pod was started again, whether it runs now or waits."""
    return {(pod["metadata"]["name"], status["name"]): status["restartCount"] for pod, status in _statuses(cluster)}


def ended_since(cluster: Cluster, before: Restarts, expected: tuple[str, str] | None = None) -> list[str]:
    """Which containers are gone or were started again, each with its last words; none of it is expected but `expected`.

    A controller that could not renew its lease in time is left out: it has to end, and on an emulated node without
    CPU it cannot renew.
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
    """What it printed so far; nothing when it is gone."""
    words = ("logs", "-n", NAMESPACE, container.pod, "-c", container.name)
    return cluster.kubectl(*words, check=False).stdout.splitlines()


def kill(cluster: Cluster, container: Container) -> None:
    """SIGKILL to its first process.

    Raises:
        LabError: it does not run any more.
    """
    _on_node(cluster, container, "kill -9 $(sort -n $group/cgroup.procs | head -1)")


def run_out_of_memory(cluster: Cluster, container: Container) -> None:
    """Take its memory away: the kernel's OOM killer ends it, all of its processes at once, as the kubelet sets it up.

    Raises:
        LabError: it does not run any more.
    """
    # The write itself makes the kernel reclaim and then kill. The cgroup goes with the container.
    _on_node(cluster, container, f"echo {TOO_LITTLE} > $group/memory.max")


@contextmanager
def frozen(cluster: Cluster, container: Container) -> Iterator[None]:
    """Inside, none of its processes runs. Shorter than its liveness probes allow, or the kubelet ends it.

    Raises:
        LabError: it does not run any more.
    """
    _on_node(cluster, container, "echo 1 > $group/cgroup.freeze")
    try:
        yield
    finally:
        _on_node(cluster, container, "echo 0 > $group/cgroup.freeze")


def _on_node(cluster: Cluster, container: Container, command: str) -> None:
    """Run a command that knows the container's cgroup as $group."""
    find = f'group=$(find /sys/fs/cgroup -type d -name {container.id}); [ -n "$group" ] || exit 1; '
    done = cluster.node_exec(1, find + command)
    if done.returncode != 0:
        raise LabError(f"{container.name} {container.id[:12]}: {command}: exit {done.returncode}\n{done.stdout}")
