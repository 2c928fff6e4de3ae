"""A sample of the proof `picture`: what is decided one change at a time is what is decided from everything."""

from collections import Counter
from collections.abc import Iterable

import pytest
from picture_law import ViolatedError, history

from virtfn_operator.controller import decider
from virtfn_operator.controller.known import OneKind
from virtfn_operator.controller.remembered import NOTHING

SAMPLE, PORTIONS = 900, 3


def run(seeds: Iterable[int]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for seed in seeds:
        history(seed, counted)
    return counted


@pytest.mark.parametrize("portion", range(PORTIONS))
def test_a_sample_of_the_proof(portion: int) -> None:
    counted = run(range(portion * SAMPLE // PORTIONS, (portion + 1) * SAMPLE // PORTIONS))
    assert counted["histories"] == SAMPLE // PORTIONS
    for what in ("decisions", "writes", "writes without an answer", "writes refused", "leaders", "refusals"):
        assert counted[what] > 5, what
    assert counted["evictions"] > 0


def nothing(*_: object) -> set[str]:
    return set()


@pytest.mark.parametrize(
    ("where", "name", "careless"),
    [
        (decider, "_touched", nothing),  # statuses of policies are not decided anew
        (decider, "_only_wants", lambda _: True),  # nodes with a turn are forgotten
        (OneKind, "drop", lambda *_: False),  # a deletion is not noticed
        (decider.Decider, "_rank", lambda _: None),  # an edited policy is not merged
        (decider.Decider, "_look", nothing),  # a cordon is not noticed
        (decider, "_differing", nothing),  # statuses do not follow the rollout
        (decider, "_only_wants", lambda place: not place.seat.turn.granted),  # a rest does not end
        (decider, "_timed", lambda *_: False),  # a time in the future does not come
        (decider, "remembered", lambda *_: NOTHING),  # a status is not believed
    ],
)
def test_a_careless_controller_is_noticed(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, careless: object
) -> None:
    monkeypatch.setattr(where, name, careless)
    with pytest.raises((ViolatedError, KeyError)):
        run(range(800))  # the last of them shows in one history of several hundred
