"""The safety laws in random histories on the fake kernel; the counter-proof drops the lock and must be caught."""

import pytest
from histories import COUNTER_PROOF, SAMPLE, run_histories, without_the_lock


@pytest.mark.timeout(120)
def test_the_laws_hold_in_every_history() -> None:
    run_histories(SAMPLE)


@pytest.mark.timeout(120)
def test_without_the_lock_a_history_breaks_them() -> None:
    with without_the_lock(), pytest.raises(AssertionError, match=r"is held|on a node that is stuck"):
        run_histories(COUNTER_PROOF)
