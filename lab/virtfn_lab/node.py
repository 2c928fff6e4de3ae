"""The one node of a lab with virtfn on it, as tests, proofs and bench handle it; every wait has a deadline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from virtfn_lab.cluster import Cluster, LabError
from virtfn_lab.product import node_ready

CONVERGED = ("True", "Converged")
LEFT, RIGHT = "0000:01:00.0", "0000:02:00.0"
"""The PFs of the topology igb2."""


def policy(name: str, count: int = 7, address: str | None = None, **spec: Any) -> str:
    """A policy for one PF, or for all of them, with a pool of its own name."""
    device = {"vendor": "8086", "device": "10c9"} | ({"address": address} if address else {})
    functions = {"count": count, "pools": [{"resourceName": name}]}
    body = {"devices": [device], "virtualFunctions": functions} | spec
    document = {"apiVersion": "virtfn.dev/v1alpha1", "kind": "SriovPolicy", "metadata": {"name": name}, "spec": body}
    return json.dumps(document)


class Node:
    """What one does with a node, and sees of it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def apply(self, *documents: str) -> None:
        """Apply documents."""
        self.cluster.kubectl("apply", "-f", "-", stdin="\n---\n".join(documents))

    def edit(self, policy: str, count: int) -> None:
        """Ask for another number of VFs."""
        patch = f'{{"spec": {{"virtualFunctions": {{"count": {count}}}}}}}'
        self.cluster.kubectl("patch", "svp", policy, "--type=merge", "-p", patch)

    def status(self) -> Any:
        """The SriovNode's status."""
        return self.cluster.get("svn", "node-1")["status"]

    def condition(self, kind: str = "Ready") -> Any:
        """One of its conditions."""
        return next(c for c in self.status()["conditions"] if c["type"] == kind)

    def converged(self, seconds: float = 90) -> float:
        """Wait until it is; the seconds that took."""
        try:
            return self.cluster.until("node-1 is converged", self.is_converged, seconds)
        except LabError as error:
            raise LabError(f"{error}: {self.status()['conditions']}") from error

    def is_converged(self) -> bool:
        """Whether the newest config is carried out."""
        return node_ready(self.cluster) == CONVERGED

    def until(self, what: str, true: Callable[[], bool], seconds: float = 60) -> float:
        """Wait for something; the seconds that took."""
        return self.cluster.until(what, true, seconds)

    def shell(self, command: str) -> str:
        """What a command prints on the node itself.

        Raises:
            LabError: it failed.
        """
        done = self.cluster.node_exec(1, command)
        if done.returncode != 0:
            raise LabError(f"{command}: exit {done.returncode}\n{done.stdout}")
        return done.stdout

    def log(self, pod: str) -> str:
        """What a pod printed so far."""
        return self.cluster.kubectl("logs", pod, check=False).stdout

    def holds(self, pod: str, number: int = 1, seconds: float = 90) -> list[str]:
        """Wait until a pod has opened its VFs; their addresses."""
        self.until(f"pod {pod} opened its VFs", lambda: self.log(pod).count("opened /dev/vfio/") == number, seconds)
        (line,) = [line for line in self.log(pod).splitlines() if line.startswith("PCI_RESOURCE_")]
        return line.partition("=")[2].split(",")

    @contextmanager
    def untouched(self, *addresses: str) -> Iterator[None]:
        """No kernel event of these functions inside: a bind, an unbind or a removal always sends one.

        Raises:
            LabError: there was one.
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
