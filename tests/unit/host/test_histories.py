"""Random histories on the fake kernel keep the safety laws. A counter-proof removes one safety and must be caught."""

import pytest
from histories import COUNTER_PROOF, MUTATIONS, SAMPLE, run_histories

BROKEN = {
    "the in-use lock": "is held|on a node that is stuck",
    "the question before a plan": "while an outsider has the lock",
    "the note before the first touch": "^noted as",
}
"""The violation that each removed safety must cause."""


@pytest.mark.timeout(120)
def test_the_laws_hold_in_every_history() -> None:
    run_histories(SAMPLE)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("dropped", MUTATIONS)
def test_without_one_of_the_safeties_a_history_breaks_them(dropped: str) -> None:
    with MUTATIONS[dropped](), pytest.raises(AssertionError, match=BROKEN[dropped]):
        run_histories(COUNTER_PROOF)
