"""The device plugin is upgraded under pods that come and go; for how long the kubelet had none is printed.

Where two plugins overlap, the kubelet is never without one, and no pod is refused. Where they may not, as with kubelets
before 1.37, there is a gap; then no more is asked than that all comes back and no VF in use is touched.
"""

from __future__ import annotations

import os

import pytest

from virtfn_lab.node import Node
from virtfn_lab.progress import say
from virtfn_lab.upgrades import OLDER, upgrades

ROUNDS = int(os.environ.get("VIRTFN_UPGRADES", "1"))


@pytest.mark.parametrize(("values", "overlapping"), [(OLDER, False), ((), True)], ids=["older kubelets", "1.37"])
def test_an_upgrade_touches_no_vf_in_use_and_comes_back(node: Node, values: tuple[str, ...], overlapping: bool) -> None:
    done = []
    for told in upgrades(node, ROUNDS, *values):
        say(str(told))
        done.append(told.overlapping)
    assert done == [overlapping] * ROUNDS
