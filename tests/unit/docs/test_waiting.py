"""Whoever deletes policies waits until the nodes were told: until then they are Ready as the deleted policies asked."""

import pytest
from doc_commands import doc_pages

from virtfn_release.markdown import blocks

DELETES, WAITS, TOLD = "kubectl delete svp", "kubectl wait --for=condition=Ready svn", "until asked=$(kubectl get svn"
BLOCKS = [(page, block.text) for page, text in doc_pages().items() for block in blocks(text) if DELETES in block.text]


@pytest.mark.parametrize("page", sorted({page for page, _ in BLOCKS}))
def test_no_page_waits_for_nodes_that_may_not_know_of_it_yet(page: str) -> None:
    for text in (text for found, text in BLOCKS if found == page):
        _, _, after = text.partition(DELETES)
        assert WAITS not in after.partition(TOLD)[0]


def test_a_page_shows_how_to_wait() -> None:
    assert any(WAITS in text.partition(TOLD)[2] for _, text in BLOCKS)
