"""A kubelet that restarts under pods that come and go: one registration for each restart, and no Allocate is lost."""

from __future__ import annotations

import os

from virtfn_lab.kubelet_restarts import restarts_of_kubelet
from virtfn_lab.node import Node
from virtfn_lab.progress import say

ROUNDS = int(os.environ.get("VIRTFN_KUBELET_RESTARTS", "1"))


def test_no_registration_and_no_allocate_is_lost_to_a_restart(node: Node) -> None:
    done = 0
    for told in restarts_of_kubelet(node, ROUNDS, seed=20261129):
        say(str(told))
        done += 1
    assert done == ROUNDS
