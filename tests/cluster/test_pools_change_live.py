"""Pools come and go without a restart of the device plugin, and without other pools noticing."""

from __future__ import annotations

from virtfn_lab.node import Node
from virtfn_lab.pool_changes import changes
from virtfn_lab.progress import say

ROUNDS = 3
"""Of about 15 s; `make prove PROOFS=pools` does twenty."""


def test_a_second_policy_comes_and_goes_again_and_again(node: Node) -> None:
    done = []
    for change in changes(node, ROUNDS):
        done.append(change)
        say(f"round {len(done)}: {change}")
    assert len(done) == ROUNDS
