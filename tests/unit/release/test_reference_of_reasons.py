"""The reference of reasons has each with its meaning and the next step."""

import re

import pytest

from virtfn_host.core.values.reasons import Reason
from virtfn_kubectl.judge.next_steps import NEXT
from virtfn_lab.paths import repository
from virtfn_release.reference.pages import REASONS
from virtfn_release.reference.words import meaning, reasons_page

SOURCE = (repository() / REASONS).read_text()
PAGE = reasons_page(SOURCE, NEXT)


def test_every_reason_has_a_meaning() -> None:
    assert [word for word, _ in meaning(SOURCE)] == [reason.value for reason in Reason]


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_section_with_a_next_step(reason: Reason) -> None:
    assert re.search(rf"^### {reason}\n\n\S.+\.\n\nNext: \S.+\.$", PAGE, re.MULTILINE)


def test_a_reason_without_a_comment_is_an_error() -> None:
    with pytest.raises(KeyError, match="TooManyVfs"):
        reasons_page(SOURCE.replace("  # more than sriov_totalvfs", ""), NEXT)


@pytest.mark.parametrize(
    ("comment", "sentence"),
    [
        ("more than it has", "More than it has."),
        ("maxUnavailable others", "maxUnavailable others."),
        ("sriov_numvfs is less", "sriov_numvfs is less."),
        ("a <name> of *it*", r"A &lt;name> of \*it\*."),
    ],
)
def test_a_sentence_begins_with_a_capital_but_a_name_stays_as_it_is(comment: str, sentence: str) -> None:
    page = reasons_page(SOURCE.replace("more than sriov_totalvfs", comment), NEXT)
    assert f"\n\n{sentence}\n\n" in page
