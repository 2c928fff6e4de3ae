"""Random histories of names, places, cards and boots keep the laws of claims. A counter-proof drops what keeps them."""

import re

import pytest
from claim_histories import CLAIM_COUNTER_PROOF, CLAIM_MUTATIONS, run_claim_histories
from histories import SAMPLE, violation_in

BROKEN = {
    # Or two policies take a card from each other for ever.
    "the claim of a function that looks otherwise": "^takes .* away from|^not converged|^for one wish",
    "the boot of the journal's entries": "^gives back untouched|^noted as|has an entry of an earlier boot|is not there",
    "the identity of the journal's cards": "^gives back untouched",
}
"""The violation that each mutation must cause."""


@pytest.mark.timeout(600)
def test_the_laws_of_claims_hold_in_every_history() -> None:
    run_claim_histories(SAMPLE)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("dropped", CLAIM_MUTATIONS)
def test_without_what_keeps_them_a_history_breaks_them(dropped: str) -> None:
    with CLAIM_MUTATIONS[dropped]():
        said = violation_in(lambda: run_claim_histories(CLAIM_COUNTER_PROOF))
    assert re.search(BROKEN[dropped], said, re.MULTILINE)
