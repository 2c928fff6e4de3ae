"""Every reason has a next step, and words of other versions do, too."""

import pytest

from virtfn_host.core.values.reasons import Reason
from virtfn_kubectl.judge.next_steps import NEXT, next_step


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_next_step(reason: Reason) -> None:
    assert reason in NEXT
    assert next_step(reason) == NEXT[reason]


@pytest.mark.parametrize("reason", ["", "FromTheFuture", "converged", "Converged "])
def test_a_word_that_is_not_in_the_list_has_one_too(reason: str) -> None:
    assert next_step(reason)
    assert next_step(reason) != NEXT[Reason.CONVERGED]
