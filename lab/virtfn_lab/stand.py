"""What must survive whatever happens to virtfn: a pod's VF, the journal, what the node offers.

There are two PFs with a pool each, `left` and `right`, and a pod that holds a VF of the right one.
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
OTHERS = ("/run/virtfn-ledger/registrations.json", "/var/lib/virtfn/config.json")
"""Files of ours that lie beside them."""

RECOVERS = 60.0
"""Seconds within which an emulated node converges once the disturbance has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """The state at the start."""

    node: Node
    held: str
    """The VF that the pod holds."""
    original: Any
    """The journal's entry of the right PF."""

    def carried_out(self, count: int) -> float:
        """Wait until the left PF has this number of VFs and everything agrees; return the seconds that it took.

        Raises:
            LabError: this is not reached in time, or something was lost or touched.
        """
        seconds = self.node.until(
            f"{count} VFs on the left, 7 on the right, bound, offered and converged",
            lambda: bound(self.node, LEFT) == count and offered(self.node) == (count, 7) and self.node.is_converged(),
            RECOVERS,
        )
        self.intact()
        published = [one["address"] for pool in _read(self.node, POOLS)["value"]["pools"] for one in pool["devices"]]
        if [sum(one.startswith(pf[:7]) for one in published) for pf in (LEFT, RIGHT)] != [count, 7]:
            raise LabError(f"the pool file does not have {count} and 7 functions: {published}")
        return seconds

    def intact(self) -> None:
        """Check that the pod still runs with its VF, and that the journal still has the original of the right PF.

        Raises:
            LabError: the pod or the journal's entry is not as before.
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
    """Set it up; in this context no kernel event may concern the right PF or the VF in use. The end gives all back.

    Raises:
        LabError: there was such an event, or something was not given back.
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
    if strange := set(left) - {*FILES, *OTHERS}:
        raise LabError(f"left behind: {strange}")


def bound(node: Node, pf: str) -> int:
    """Return how many VFs of a PF are bound to vfio-pci."""
    lines = functions(node.cluster).splitlines()
    return sum(line.startswith(pf[:7]) and line.split()[1] == "vfio-pci" for line in lines)


def offered(node: Node) -> tuple[int, int]:
    """Return how many devices of each pool the node offers."""
    return allocatable(node.cluster, "virtfn.dev/left"), allocatable(node.cluster, "virtfn.dev/right")


def _original(node: Node, pf: str) -> Any:
    return next((one for one in _read(node, JOURNAL)["value"]["originals"] if one["address"] == pf), None)


def _read(node: Node, path: str) -> Any:
    found = node.file(path)
    if found is None:
        raise LabError(f"{path} is gone")
    return json.loads(found.content)
