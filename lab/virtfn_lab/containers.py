"""The containers of virtfn as the API server and the node show them: states and processes, and ways to end them.

For tests that hurt one of them on purpose and then ask for the state that follows. A container is known by its id: the
one that the kubelet starts in its place has another, so nothing here takes an earlier one for a later one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from virtfn_lab.cluster import Cluster, LabError
from virtfn_lab.product import NAMESPACE

AGENT, HOST, PLUGIN, CONTROLLER = "agent", "host", "deviceplugin", "controller"
ALL = (AGENT, HOST, PLUGIN, CONTROLLER)

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
    pods: Any = cluster.get("pods", "-n", NAMESPACE)["items"]
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
        for pod in pods
        for status in pod["status"].get("containerStatuses", ())
        if "running" in status["state"]
    )


def running(cluster: Cluster, name: str) -> Container | None:
    """The one of this name on the lab's only node, or None while there is none; of the controllers the leader."""
    found = [one for one in containers(cluster) if one.name == name]
    if name == CONTROLLER:
        lease: Any = cluster.get("lease", "virtfn-controller", "-n", NAMESPACE)
        found = [one for one in found if one.pod == lease["spec"].get("holderIdentity")]
    return found[0] if len(found) == 1 else None


def restarts(cluster: Cluster) -> dict[tuple[str, str], int]:
    """How often each container of each pod was started again."""
    return {(one.pod, one.name): one.restarts for one in containers(cluster)}


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
