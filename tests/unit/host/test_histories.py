"""Random histories on the fake kernel keep the safety laws. A counter-proof removes one safety and must be caught."""

import re

import pytest
from histories import COUNTER_PROOF, MUTATIONS, SAMPLE, run_histories, violation_in

BROKEN = {
    "the in-use lock": "is held|on a node that is stuck",
    "the question before a plan": "while an outsider has the lock|done after a blocked write",
    "the note before the first touch": "^noted as",
    "the count of tries": "^for one wish 4 times",
    "a count that lasts": "^for one wish 4 times",
    "the note of link settings": "is set and not noted",
    "the question whose link settings": "which we never set",
}
"""The violation that each removed safety must cause."""


@pytest.mark.timeout(600)
def test_the_laws_hold_in_every_history() -> None:
    run_histories(SAMPLE)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("dropped", MUTATIONS)
def test_without_one_of_the_safeties_a_history_breaks_them(dropped: str) -> None:
    with MUTATIONS[dropped]():
        assert re.search(BROKEN[dropped], violation_in(lambda: run_histories(COUNTER_PROOF)), re.MULTILINE)
