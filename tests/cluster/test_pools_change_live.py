"""Pools come and go without a restart of the device plugin, and without other pools noticing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from virtfn_lab.node import LEFT, RIGHT, Node, policy
from virtfn_lab.product import NAMESPACE, allocatable
from virtfn_lab.progress import say

ROUNDS = int(os.environ.get("VIRTFN_POOL_ROUNDS", "6"))
"""Of 15 s; 20 is the long way."""


def test_a_second_policy_comes_and_goes_again_and_again(node: Node) -> None:
    node.apply(policy("left", 7, LEFT))
    node.until("the first pool is there", lambda: allocatable(node.cluster, "virtfn.dev/left") == 7)
    node.converged()
    plugin = _plugin(node)
    with _recorded(node, "virtfn.dev/left") as values:
        for number in range(1, ROUNDS + 1):
            node.apply(policy("right", 7, RIGHT))
            added = node.until("it is there", lambda: allocatable(node.cluster, "virtfn.dev/right") == 7)
            node.cluster.kubectl("delete", "svp", "right")
            removed = node.until("it is gone", lambda: allocatable(node.cluster, "virtfn.dev/right") == 0)
            assert _plugin(node) == plugin
            say(f"round {number}: there after {added:.1f} s, gone after {removed:.1f} s")
    assert set(values) == {"7"}
    assert len(values) >= ROUNDS  # the node's status did change, round by round


def _plugin(node: Node) -> tuple[str, int]:
    """Process id on the node, and how often the container was started again."""
    pods: Any = node.cluster.get("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=deviceplugin")
    (found,) = pods["items"]
    return node.shell("pgrep -f '[v]irtfn-device-plugin'"), found["status"]["containerStatuses"][0]["restartCount"]


@contextmanager
def _recorded(node: Node, resource: str) -> Iterator[list[str]]:
    """Every value that the node's allocatable has, as a watch sees it; complete at the end."""
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
