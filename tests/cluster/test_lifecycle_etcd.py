"""etcd is restored from an older copy: versions go back, objects come back, statuses are older than what was reported.

The node becomes what the copy asks for, without help, and a VF in use is not touched.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from virtfn_lab.kubelet_cases import kubelet_down
from virtfn_lab.node import LEFT, RIGHT, Node, policy
from virtfn_lab.product import pod
from virtfn_lab.progress import say
from virtfn_lab.stand import bound, offered

IN_COPY = 3
"""VFs of the left PF that the copy asks for."""

CONVERGES = 120.0
"""Seconds after the API server is ready: a watch from before lasts 36 s, and an agent reads its object every minute."""


def edited(node: Node) -> None:
    node.edit("left", 7)
    node.until("7 VFs", lambda: bound(node, LEFT) == 7)


def deleted(node: Node) -> None:
    node.cluster.kubectl("delete", "svp", "left")
    node.until("no VF", lambda: bound(node, LEFT) == 0)


def edited_often(node: Node) -> None:
    for count in (7, 0, 5):
        node.edit("left", count)
        node.until(f"{count} VFs", lambda wanted=count: bound(node, LEFT) == wanted)  # type: ignore[misc]


@pytest.mark.parametrize("since", [edited, deleted, edited_often])
def test_the_node_becomes_what_the_restored_store_asks(node: Node, since: Callable[[Node], None]) -> None:
    node.apply(policy("left", IN_COPY, LEFT), policy("right", 2, RIGHT))
    node.until("both pools are there", lambda: offered(node) == (IN_COPY, 2))
    node.apply(pod("holder", resource="virtfn.dev/right"))
    (held,) = node.holds("holder")
    node.converged()
    node.cluster.copy_store()
    with node.untouched(held, RIGHT):
        since(node)
        node.converged()
        ready = node.cluster.restore_store()
        with kubelet_down(node):
            pass  # it starts anew, because what it remembers of the API server is of later versions, too
        seconds = node.until(
            "as the copy asks", lambda: bound(node, LEFT) == IN_COPY and node.is_converged(), CONVERGES
        )
        say(f"API server ready after {ready:.1f} s; as the copy asks {seconds:.1f} s later")
        # What comes after the copy is heard, although its version came before.
        node.edit("left", 5)
        node.until("an edit is carried out", lambda: bound(node, LEFT) == 5 and node.is_converged(), CONVERGES)
