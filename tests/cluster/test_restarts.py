"""SIGKILL of host, agent, plugin and kubelet in the middle of an apply: all converges, what a pod holds is left."""

from __future__ import annotations

import os

from virtfn_lab.node import Node
from virtfn_lab.progress import say
from virtfn_lab.restarts import PROCESSES, rounds

ROUNDS = int(os.environ.get("VIRTFN_RESTARTS", "4"))


def test_a_kill_in_the_middle_of_an_apply_is_healed(node: Node) -> None:
    seen = []
    for done in rounds(node, ROUNDS, seed=1):
        say(str(done))
        seen.append(done)
    assert {done.victim for done in seen} == set(PROCESSES)
    assert any(done.bound < done.count for done in seen), "no kill was in the middle"
