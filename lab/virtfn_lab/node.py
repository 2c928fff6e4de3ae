"""The lab's node with virtfn on it, as tests, proofs and bench use it; every wait has a deadline.

After a change, wait for a state that can only follow it: the current policies are carried out (`converged`), a file was
replaced since it was read (`file`), words were printed after a mark (`mark`, `said_since`). A state that may be from
before the change proves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from virtfn_lab import containers
from virtfn_lab.cluster import Cluster, LabError
from virtfn_lab.containers import Container
from virtfn_lab.product import node_ready

CONVERGED = ("True", "Converged")
HEALTH = 20
"""Seconds to wait for the answer to one health request."""

LEFT, RIGHT = "0000:01:00.0", "0000:02:00.0"
"""The PFs of the topology igb2."""


def policy(name: str, count: int = 7, address: str | None = None, **spec: Any) -> str:
    """Return a policy for one PF, or for all of them, with a pool of the policy's name."""
    device = {"vendor": "8086", "device": "10c9"} | ({"address": address} if address else {})
    functions = {"count": count, "pools": [{"resourceName": name}]}
    body = {"devices": [device], "virtualFunctions": functions} | spec
    document = {"apiVersion": "virtfn.dev/v1alpha1", "kind": "SriovPolicy", "metadata": {"name": name}, "spec": body}
    return json.dumps(document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A moment in a container's log."""

    container: Container
    lines: int
    """Number of lines printed up to that moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMark:
    """One file as it was read; a replaced file has another inode, a rewritten one another time."""

    inode: int
    written: str
    """Time of the last write, in nanoseconds."""
    content: str


class Node:
    """The node: ways to change it, and to look at it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def apply(self, *documents: str) -> None:
        """Apply Kubernetes objects: documents of YAML or JSON, each with one or more."""
        # As one list: kubectl 1.30 takes no JSON after a line of dashes.
        found = [item for document in documents for item in yaml.safe_load_all(document) if item]
        self.cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": found}))

    def edit(self, policy: str, count: int) -> int:
        """Ask for another number of VFs; return the policy's new generation."""
        patch = f'{{"spec": {{"virtualFunctions": {{"count": {count}}}}}}}'
        words = ("patch", "svp", policy, "--type=merge", "-p", patch, "-o", "jsonpath={.metadata.generation}")
        return int(self.cluster.kubectl(*words).stdout)

    def status(self) -> Any:
        """Return the SriovNode's status."""
        return self.cluster.get("svn", "node-1")["status"]

    def condition(self, kind: str = "Ready") -> Any:
        """Return one condition of the SriovNode."""
        return next(c for c in self.status()["conditions"] if c["type"] == kind)

    def converged(self, seconds: float = 90) -> float:
        """Wait until the node is converged; return the seconds that it took."""
        try:
            return self.cluster.until("node-1 is converged", self.is_converged, seconds)
        except LabError as error:
            raise LabError(f"{error}: {self.status()['conditions']}") from error

    def is_converged(self) -> bool:
        """Whether the current policies are carried out.

        "Converged" alone may still be about the policies before a change, until the controller has told the node of it.
        """
        return _told_of_all(self.cluster) and node_ready(self.cluster) == CONVERGED

    def until(self, what: str, true: Callable[[], bool], seconds: float = 60) -> float:
        """Wait until a condition holds; return the seconds that it took."""
        return self.cluster.until(what, true, seconds)

    def shell(self, command: str) -> str:
        """Run a shell command on the node itself; return what it prints.

        Raises:
            LabError: the command failed.
        """
        done = self.cluster.node_exec(1, command)
        if done.returncode != 0:
            raise LabError(f"{command}: exit {done.returncode}\n{done.stdout}")
        return done.stdout

    def container(self, name: str) -> Container:
        """Return the running container of this name; of the controllers the leader.

        Raises:
            LabError: no such container runs at this moment.
        """
        found = containers.running(self.cluster, name)
        if found is None:
            raise LabError(f"no container {name} runs on node-1")
        return found

    def frozen(self, name: str) -> AbstractContextManager[None]:
        """Within this context the container stands still, so that a state that it would change can be looked at."""
        return containers.frozen(self.cluster, self.container(name))

    def health(self, name: str, port: int) -> str:
        """Return a container's health answer; empty if its status is not 200."""
        # bash, because the static busybox crashes in wget and Python takes a second to start on an emulated node.
        ask = r'exec 3<>/dev/tcp/$0/$1; printf "GET /healthz HTTP/1.0\r\n\r\n" >&3; cat <&3'
        address = self.container(name).address
        done = self.cluster.node_exec(1, f"timeout {HEALTH} bash -c '{ask}' {address} {port}")
        head, _, body = done.stdout.replace("\r", "").partition("\n\n")
        return body.strip() if done.returncode == 0 and " 200 " in head.partition("\n")[0] else ""

    def mark(self, name: str) -> Mark:
        """Return a mark: this moment in the log of a container."""
        found = self.container(name)
        return Mark(container=found, lines=len(containers.log(self.cluster, found)))

    def said_since(self, mark: Mark) -> list[str]:
        """Return the lines that the container printed after the mark; of a container that replaced it, all lines."""
        now = containers.running(self.cluster, mark.container.name)
        if now is None:
            return []
        lines = containers.log(self.cluster, now)
        return lines[mark.lines :] if now.id == mark.container.id else lines

    def file(self, path: str) -> FileMark | None:
        """Return a file of the node as it is now; None if it does not exist."""
        done = self.cluster.node_exec(1, f"[ -e {path} ] || exit 0; stat -c '%i %y' {path} && cat {path}")
        if done.returncode != 0:
            raise LabError(f"{path}: {done.stdout}")
        if not done.stdout:
            return None
        first, _, content = done.stdout.partition("\n")
        inode, _, written = first.partition(" ")
        return FileMark(inode=int(inode), written=written, content=content)

    def log(self, pod: str, container: str = "") -> str:
        """Return the log so far of a pod, or of one of its containers."""
        return self.cluster.kubectl("logs", pod, *(["-c", container] if container else []), check=False).stdout

    def holds(self, pod: str, number: int = 1, seconds: float = 90) -> list[str]:
        """Wait until a pod has opened its VFs; return their addresses."""
        self.until(f"pod {pod} opened its VFs", lambda: self.log(pod).count("opened /dev/vfio/") == number, seconds)
        (line,) = [line for line in self.log(pod).splitlines() if line.startswith("PCI_RESOURCE_")]
        return line.partition("=")[2].split(",")

    @contextmanager
    def untouched(self, *addresses: str) -> Iterator[None]:
        """Check that these functions have no kernel event in this context: bind, unbind and removal always send one.

        Raises:
            LabError: there was an event.
        """
        record = (
            "nohup python3 -I /src/lab/guest/record-uevents.py /run/uevents >/dev/null 2>&1 & echo $! >/run/recorder"
        )
        self.shell(f"rm -f /run/uevents; {record}")
        self.until("the recorder listens", lambda: "listening" in self.shell("cat /run/uevents || true"), 20)
        try:
            yield
        finally:
            self.shell("echo change > /sys/bus/pci/devices/0000:00:00.0/uevent")
            self.until("the recorder hears", lambda: "0000:00:00.0" in self.shell("cat /run/uevents"), 20)
            self.shell("kill $(cat /run/recorder)")
        heard = self.shell("cat /run/uevents").splitlines()
        if touched := [line for line in heard if any(address in line for address in addresses)]:
            raise LabError(f"touched: {touched}")


def _told_of_all(cluster: Cluster) -> bool:
    """Whether the SriovNode's spec names exactly the current policies, each in its current generation."""
    policies: Any = cluster.get("svp")["items"]
    spec: Any = cluster.get("svn", "node-1").get("spec") or {}
    told = {policy["uid"]: policy["generation"] for policy in spec.get("policies", ())}
    for policy in policies:
        metadata, status = policy["metadata"], policy.get("status") or {}
        if status.get("observedGeneration") != metadata["generation"]:
            return False
        # Of a policy that cannot be read, nodes keep the last good generation. One that matches no node is in no spec.
        if status["nodes"]["matching"] and _readable(status) and told.get(metadata["uid"]) != metadata["generation"]:
            return False
    return set(told) <= {policy["metadata"]["uid"] for policy in policies}


def _readable(status: Any) -> bool:
    accepted = next((c for c in status["conditions"] if c["type"] == "Accepted"), None)
    return accepted is None or accepted["reason"] != "InvalidPolicy"
