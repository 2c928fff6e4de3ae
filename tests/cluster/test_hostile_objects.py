"""A short sample of hostile objects through the real API server; `make prove PROOFS=objects-cluster` tries 3,000."""

from __future__ import annotations

from hostile_objects import hostile_nodes, hostile_policies
from storm import storm

from virtfn_lab.node import Node
from virtfn_lab.progress import say

SEED = 17


def test_a_good_policy_is_carried_out_among_hostile_ones(node: Node) -> None:
    seen = []
    for batch in storm(node, list(hostile_policies(SEED, 40)), list(hostile_nodes(SEED, 20)), size=40):
        say(str(batch))
        seen.append(batch)
    assert sum(batch.tried for batch in seen) == 60
    assert sum(batch.refused for batch in seen) < 60, "the API server took none, so none was tried on us"
