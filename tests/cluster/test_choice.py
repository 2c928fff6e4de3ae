"""Where the kubelet has a choice, a pod's VFs are of one PF (Pack), or of as many PFs as possible (Spread)."""

from __future__ import annotations

import pytest

from virtfn_lab.node import LEFT, RIGHT, Node, policy
from virtfn_lab.product import RESOURCE, allocatable, pod


@pytest.mark.parametrize(("prefer", "pfs"), [("Pack", 1), ("Spread", 2)])
def test_two_vfs_of_a_pod_are_chosen_as_the_policy_asks(node: Node, prefer: str, pfs: int) -> None:
    pools = {"count": 4, "pools": [{"resourceName": "fast", "allocation": {"prefer": prefer}}]}
    node.apply(policy("fast", virtualFunctions=pools))
    node.until("all are offered", lambda: allocatable(node.cluster) == 8)
    for name in ("one", "two"):  # the kubelet's own pick is random
        node.apply(pod(name, 2, RESOURCE))
        held = node.holds(name, 2)
        assert len({address[:7] for address in held}) == pfs, held
        assert {address[:7] for address in held} <= {LEFT[:7], RIGHT[:7]}
