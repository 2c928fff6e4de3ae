"""What must not be lost or touched, whatever happens to virtfn: a pod's VF, the journal, what is offered.

Two PFs with a pool each, `left` and `right`, and a pod that holds a VF of the right one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from virtfn_lab.cluster import LabError
from virtfn_lab.node import LEFT, RIGHT, Node, policy
from virtfn_lab.product import allocatable, functions, pod

POOLS, JOURNAL, LEDGER = "/run/virtfn/pools.json", "/var/lib/virtfn/journal.json", "/run/virtfn-ledger/ledger.json"
FILES = (POOLS, JOURNAL, LEDGER)

RECOVERS = 60.0
"""Seconds within which everything is as asked again, on an emulated node that nobody disturbs any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """What is there at the start."""

    node: Node
    held: str
    """The holder's VF."""
    original: Any
    """What the journal says of the right PF."""

    def carried_out(self, count: int) -> float:
        """Wait until the left PF has this number of VFs and everything agrees; the seconds that took.

        Raises:
            LabError: it is not so in time, or something was lost or touched.
        """
        seconds = self.node.until(
            f"{count} VFs on the left, 7 on the right, bound, offered and converged",
            lambda: bound(self.node, LEFT) == count and offered(self.node) == (count, 7) and self.node.is_converged(),
            RECOVERS,
        )
        self.intact()
        published = json.dumps(_read(self.node, POOLS))
        if published.count(f'"{LEFT[:7]}') != count or published.count(f'"{RIGHT[:7]}') != 7:
            raise LabError(f"the pool file does not have {count} and 7 functions: {published}")
        return seconds

    def intact(self) -> None:
        """The holder runs with its VF, and the journal knows what the right PF was.

        Raises:
            LabError: it is not so.
        """
        holder: Any = self.node.cluster.get("pod", "holder")
        (container,) = holder["status"]["containerStatuses"]
        if "running" not in container["state"] or container["restartCount"]:
            raise LabError(f"the holder does not run any more, or ran anew: {container}")
        if not any(line.startswith(f"{self.held} vfio-pci") for line in functions(self.node.cluster).splitlines()):
            raise LabError(f"{self.held} is gone: {functions(self.node.cluster)}")
        if (now := _original(self.node, RIGHT)) != self.original:
            raise LabError(f"the journal said {self.original} of {RIGHT}, and says {now}")


@contextmanager
def stand(node: Node) -> Iterator[Stand]:
    """Make it; inside, no kernel event may concern the right PF or the VF that is held. The end gives everything back.

    Raises:
        LabError: there was one, or not everything was given back.
    """
    before = functions(node.cluster)
    node.apply(policy("right", 7, RIGHT))
    node.until("the right pool is there", lambda: offered(node)[1] == 7)
    node.apply(pod("holder", resource="virtfn.dev/right"))
    (held,) = node.holds("holder")
    node.converged()
    with node.untouched(held, RIGHT):
        yield Stand(node=node, held=held, original=_original(node, RIGHT))
    node.cluster.kubectl("delete", "pods", "--all")
    node.cluster.kubectl("delete", "svp", "--all")
    node.until("everything is given back", lambda: functions(node.cluster) == before)
    node.converged()
    left = node.shell(f"find {' '.join(file.rpartition('/')[0] for file in FILES)} -type f").split()
    if strange := set(left) - set(FILES):
        raise LabError(f"left behind: {strange}")


def bound(node: Node, pf: str) -> int:
    """How many VFs of a PF vfio-pci has."""
    lines = functions(node.cluster).splitlines()
    return sum(line.startswith(pf[:7]) and line.split()[1] == "vfio-pci" for line in lines)


def offered(node: Node) -> tuple[int, int]:
    """How many the node offers of each pool."""
    return allocatable(node.cluster, "virtfn.dev/left"), allocatable(node.cluster, "virtfn.dev/right")


def _original(node: Node, pf: str) -> Any:
    return next((one for one in _read(node, JOURNAL)["value"]["originals"] if one["address"] == pf), None)


def _read(node: Node, path: str) -> Any:
    found = node.file(path)
    if found is None:
        raise LabError(f"{path} is gone")
    return json.loads(found.content)
