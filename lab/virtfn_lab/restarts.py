"""Kill a process in the middle of an apply, then check that the node converges and that no VF in use was touched.

A few rounds are a test in tests/cluster, many are a proof in `make prove`.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from subprocess import CompletedProcess

from virtfn_lab.cluster import LabError
from virtfn_lab.node import LEFT, RIGHT, Node, policy
from virtfn_lab.product import allocatable, functions, pod

PROCESSES = {
    "host": "[v]irtfn-host --socket",
    "agent": "[v]irtfn-operator agent",
    "plugin": "[v]irtfn-device-plugin",
    "kubelet": "[k]ubelet --config",
}
"""Patterns for `pgrep -f`; the brackets keep it from finding its own shell."""

CONVERGE = 180.0
"""Seconds for one round: a killed kubelet starts within 15 s, and the Node is Ready again 30 s later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The result of one round."""

    victim: str
    count: int
    """Number of VFs asked for."""
    bound: int
    """VFs of the PF on vfio-pci at the kill; fewer than `count`, because the kill comes in the middle."""
    seconds: float
    """Seconds from the edit until the node was converged."""

    def __str__(self) -> str:
        return f"{self.victim} killed with {self.bound} of {self.count} VFs bound; converged after {self.seconds:.1f} s"


def rounds(node: Node, number: int, seed: int) -> Iterator[Round]:
    """Resize one PF again and again while a pod holds a VF of the other; every round kills one process.

    Raises:
        LabError: a round did not converge, the VF in use was touched, or its pod ended.
    """
    chance = random.Random(seed)
    node.apply(policy("left", 7, LEFT), policy("right", 7, RIGHT))
    node.until("both pools are there", lambda: _offered(node) == (7, 7))
    node.apply(pod("holder", resource="virtfn.dev/right"))
    (held,) = node.holds("holder")
    node.converged()
    counts = (3, 7)
    with node.untouched(held, RIGHT):
        for index in range(number):
            victim = list(PROCESSES)[index % len(PROCESSES)]
            yield _round(node, victim, counts[index % 2], chance.uniform(0, 1.5))
            if (
                held not in functions(node.cluster)
                or "Running" not in node.cluster.kubectl("get", "pod", "holder").stdout
            ):
                raise LabError(f"round {index}: the holder is gone")


def _round(node: Node, victim: str, count: int, delay: float) -> Round:
    """Kill the process shortly after the old VFs are gone: between two of the writes that follow."""
    folder = f"/sys/bus/pci/devices/{LEFT}"
    kill = (
        f"n=0; while [ $(cat {folder}/sriov_numvfs) != 0 ]; do n=$((n+1)); [ $n -lt 3000 ] || exit 1; sleep 0.02; done;"
        f" sleep {delay:.3f}; kill -9 $(pgrep -f '{PROCESSES[victim]}') || exit 2;"
        f" ls /sys/bus/pci/drivers/vfio-pci | grep -c ^{LEFT[:7]}"
    )
    answer: list[CompletedProcess[str]] = []
    before = _processes(node, victim)
    killer = threading.Thread(target=lambda: answer.append(node.cluster.node_exec(1, kill)))
    killer.start()
    node.edit("left", count)
    killer.join()
    if not answer or not answer[0].stdout.strip().isdecimal():
        raise LabError(f"{victim} was not killed: {answer}")
    bound = int(answer[0].stdout)
    seconds = node.until(
        f"{count} VFs are bound and offered after {victim} was killed with {bound} bound, and it runs again",
        lambda: (
            _bound(node) == count
            and _offered(node) == (count, 7)
            and node.is_converged()
            and bool(_processes(node, victim) - before)
        ),
        CONVERGE,
    )
    return Round(victim=victim, count=count, bound=bound, seconds=seconds)


def _processes(node: Node, victim: str) -> set[str]:
    """Return the ids of the victim's processes; a process that replaced another has another id."""
    return set(node.cluster.node_exec(1, f"pgrep -f '{PROCESSES[victim]}'").stdout.split())


def _bound(node: Node) -> int:
    lines = functions(node.cluster).splitlines()
    return sum(line.startswith(LEFT[:7]) and "vfio-pci" in line for line in lines)


def _offered(node: Node) -> tuple[int, int]:
    return allocatable(node.cluster, "virtfn.dev/left"), allocatable(node.cluster, "virtfn.dev/right")
