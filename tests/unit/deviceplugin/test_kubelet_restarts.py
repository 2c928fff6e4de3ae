"""A kubelet that restarts gets one registration of each resource, and no Allocate is lost to it.

A sample; `make prove PROOFS=kubelet-restarts` has a hundred restarts of up to five seconds.
"""

import random
from pathlib import Path

import pytest
from kubelet_restarts import KilledKubelet, restarts
from plugin_node import plugin_node


@pytest.mark.parametrize("seed", [1, 2])
async def test_one_registration_a_restart_and_every_allocate_is_answered(tmp_path: Path, seed: int) -> None:
    async with plugin_node(tmp_path, KilledKubelet) as node:
        found = await restarts(node, 5, random.Random(seed), away=(0.0, 0.4), up=(0.0, 0.3))
    assert (found.torn, found.lost) == (0, 0)
    assert found.answered >= 5
