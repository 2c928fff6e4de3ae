"""A sample of the proof `turns`: never more nodes with a turn than allowed, and what carelessness would cost."""

from collections import Counter
from collections.abc import Iterable

import pytest
from picture_law import ViolatedError
from turn_law import CAREFUL, Carelessness, turns

from virtfn_operator.controller.decide import Write
from virtfn_operator.controller.known import OneKind
from virtfn_operator.controller.order import Order

SAMPLE, PORTIONS = 600, 6


def run(seeds: Iterable[int], care: Carelessness) -> Counter[str]:
    counted: Counter[str] = Counter()
    for seed in seeds:
        turns(seed, counted, care)
    return counted


@pytest.mark.parametrize("portion", range(PORTIONS))
def test_a_sample_of_the_proof(portion: int) -> None:
    counted = run(range(portion * SAMPLE // PORTIONS, (portion + 1) * SAMPLE // PORTIONS), CAREFUL)
    assert counted["grants"] > 30
    assert counted["histories with several turns at once"] > 3


def test_an_event_that_is_late_must_not_undo_the_answer_to_a_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OneKind, "_is_older", lambda *_: False)
    with pytest.raises(ViolatedError):
        run(range(700, 900), CAREFUL)  # most others are prevented by what the statuses say of turns


def all_at_once(writes: Iterable[Write]) -> Order:
    return Order(ends=(), rest=tuple(writes), grants=())


def test_the_order_of_writes_is_not_all_that_keeps_the_limit() -> None:
    """The place of a turn that ends is free only when its node has answered (decision 0038)."""
    assert run(range(200), Carelessness(order=all_at_once))["grants"] > 30


@pytest.mark.parametrize(
    ("care", "first"),
    [
        (Carelessness(versions=False), 20),
        (Carelessness(own_writes=False), 60),
        (Carelessness(promises=False), 850),
    ],
    ids=["for any version", "own writes unknown", "no answer is no grant"],
)
def test_a_careless_controller_is_noticed(care: Carelessness, first: int) -> None:
    """`first`: a seed shortly before one that shows it."""
    with pytest.raises(ViolatedError):
        run(range(first, first + 200), care)
