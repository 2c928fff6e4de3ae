"""Turns and evictions in random histories: the laws hold, and break where a safety is dropped."""

from collections import Counter

import pytest
from rollout_law import history
from rollout_mutations import MUTATIONS

HISTORIES = 100
"""Of one portion here; `make prove PROOFS=rollout` runs 50,000."""

MOST = 3000
"""Histories within which a law must break without a safety."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("portion", range(8))
def test_no_history_breaks_a_law(portion: int) -> None:
    seen = sum((history(seed) for seed in range(portion * HISTORIES, (portion + 1) * HISTORIES)), start=Counter[str]())
    often = ("turns", "changes", "evictions", "evictions refused", "turns lost", "deaths in an eviction", "calm ends")
    assert min(seen[what] for what in often) > 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("dropped", MUTATIONS)
def test_without_a_safety_a_law_breaks(dropped: str) -> None:
    def run() -> None:
        for seed in range(MOST):
            history(seed)

    with MUTATIONS[dropped](), pytest.raises(AssertionError):
        run()
