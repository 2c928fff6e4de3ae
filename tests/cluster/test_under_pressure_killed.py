"""Each process ends at a bad moment, by SIGKILL or out of memory, while policies are edited and pods come and go."""

from __future__ import annotations

from virtfn_lab.containers import ALL
from virtfn_lab.node import Node
from virtfn_lab.pressure import kills
from virtfn_lab.progress import say

ROUNDS = 4
"""Each process once, in one way; `make prove PROOFS=pressure` does both ways, again and again."""


def test_whoever_is_killed_under_load_nothing_is_lost_and_all_recovers(node: Node) -> None:
    told = []
    for done in kills(node, ROUNDS, seed=17):
        say(str(done))
        told.append(done.what.split()[0])
    assert sorted(told) == sorted(ALL)
