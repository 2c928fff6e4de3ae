"""Check that pools come and go without a restart of the device plugin and without an effect on other pools.

A few rounds are a test in tests/cluster, many are a proof in `make prove`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from virtfn_lab.cluster import LabError
from virtfn_lab.node import LEFT, RIGHT, Node, policy
from virtfn_lab.product import NAMESPACE, allocatable


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The times of one pool that came and went."""

    added: float
    """Seconds from the policy until the pool was allocatable."""
    removed: float
    """Seconds from the policy's deletion until the pool was no longer allocatable."""

    def __str__(self) -> str:
        return f"there after {self.added:.1f} s, gone after {self.removed:.1f} s"


def changes(node: Node, number: int) -> Iterator[Change]:
    """Add and remove one pool beside another that stays.

    Raises:
        LabError: the plugin was restarted, or the node ever offered another number than 7 of the pool that stays.
    """
    node.apply(policy("left", 7, LEFT))
    node.until("the first pool is there", lambda: allocatable(node.cluster, "virtfn.dev/left") == 7)
    node.converged()
    plugin = _plugin(node)
    with _recorded(node, "virtfn.dev/left") as values:
        for _ in range(number):
            node.apply(policy("right", 7, RIGHT))
            added = node.until("it is there", lambda: allocatable(node.cluster, "virtfn.dev/right") == 7)
            node.cluster.kubectl("delete", "svp", "right")
            removed = node.until("it is gone", lambda: allocatable(node.cluster, "virtfn.dev/right") == 0)
            if (now := _plugin(node)) != plugin:
                raise LabError(f"the device plugin was {plugin} and is {now}")
            yield Change(added=added, removed=removed)
    # The node's status changed in each round; so fewer values mean that the watch did not work.
    if set(values) != {"7"} or len(values) < number:
        raise LabError(f"the pool that stays was seen as {values}")


def _plugin(node: Node) -> tuple[str, int]:
    """Return the plugin's process id on the node, and how often its container was restarted."""
    pods: Any = node.cluster.get("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=deviceplugin")
    (found,) = pods["items"]
    return node.shell("pgrep -f '[v]irtfn-device-plugin'"), found["status"]["containerStatuses"][0]["restartCount"]


@contextmanager
def _recorded(node: Node, resource: str) -> Iterator[list[str]]:
    """Collect every value of the node's allocatable that a watch sees; the list is complete when the context ends."""
    path = "{.status.allocatable." + resource.replace(".", "\\.") + "}{'\\n'}"
    values: list[str] = []
    watching = node.cluster.start(
        [f"{node.cluster.tools}/kubectl", "get", "node", "node-1", "--watch", "-o", f"jsonpath={path}"]
    )
    try:
        yield values
    finally:
        watching.terminate()
        output, _ = watching.communicate()
        values += output.split()
