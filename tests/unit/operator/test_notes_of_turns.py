"""The note on a turn: short enough for its annotation, read back as it was written, and nothing else is one."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtfn_operator.controller.turns import ANNOTATION, LIMIT, MOST_MARKS, MOST_TURNS, Note, read_note

ADMISSION = Path(__file__).parents[3] / "charts/virtfn/templates/admission.yaml"

times = st.builds(lambda seconds: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds), st.integers(0, 10**9))
maybe = st.none() | times
notes = st.builds(
    Note,
    granted=times,
    heard=times,
    word=st.text("0123456789abcdef", min_size=16, max_size=16),
    lost=maybe,
    number=st.none() | st.integers(0, MOST_TURNS),
    closes=st.none() | st.integers(0, 10**15 - 1),
    failed=st.frozensets(st.text("0123456789abcdef", min_size=8, max_size=8), max_size=MOST_MARKS),
    refused=maybe,
    gave_up=maybe,
    times=st.integers(0, 99),
)


def body(note: object) -> dict[str, object]:
    return {"metadata": {"annotations": {ANNOTATION: note}}}


@given(notes)
def test_a_note_is_read_back_as_it_was_written(note: Note) -> None:
    assert read_note(body(str(note))) == note


def test_the_longest_note_is_read_back_too() -> None:
    at = datetime(9999, 12, 31, tzinfo=UTC)
    marks = frozenset(f"{number:08x}" for number in range(MOST_MARKS))
    note = Note(
        granted=at,
        heard=at,
        word="f" * 16,
        lost=at,
        number=MOST_TURNS,
        closes=10**15 - 1,
        failed=marks,
        refused=at,
        gave_up=at,
        times=99,
    )
    assert read_note(body(str(note))) == note


def test_the_admission_policy_allows_as_much() -> None:
    assert f"size(variables.after[name]) < {LIMIT}" in ADMISSION.read_text()


def test_a_note_of_an_earlier_version_is_read() -> None:
    text = "granted=2026-01-01T00:00:00Z heard=2026-01-01T00:01:00Z word=e825dc7131d5acb3 ended=3"
    note = read_note(body(text))
    assert note is not None
    assert (note.number, note.closes, note.failed, note.refused, note.times) == (3, None, frozenset(), None, 0)


@pytest.mark.parametrize(
    "more",
    [
        "closes=-1",
        "closes=x",
        "failed=xyz",
        "failed=0123456789",
        "refused=now",
        "gaveup=",
        "times=100",
        "later",
        "later=",
    ],
)
def test_a_note_with_a_field_that_is_none_is_none(more: str) -> None:
    assert read_note(body(f"granted=2026-01-01T00:00:00Z heard=2026-01-01T00:00:00Z word=0 {more}")) is None
