"""A short sample of the proof `api-server`: processes, a trouble, and what it cost; and that the counting counts."""

from pathlib import Path

import pytest
from api_cases import Result, carry_out, troubles, worst_minute


@pytest.mark.timeout(240)
async def test_a_short_trouble(tmp_path: Path) -> None:
    result = await carry_out("401", "agent", tmp_path, 3.0)
    assert result.violations == (), str(result)


def test_every_trouble_of_the_issue_is_there() -> None:
    names = " ".join(troubles())
    for word in ["401", "403", "409", "410", "429", "500", "cut", "silence", "clock"]:
        assert word in names
    assert {"a byte a second", "a rotated token", "a rotated CA"} <= set(troubles())


def test_the_worst_minute_is_the_worst_one() -> None:
    assert worst_minute([]) == 0
    assert worst_minute([0.0, 1.0, 59.0, 61.0, 62.0, 63.0]) == 4


OVER = [
    {"requests": 31},
    {"lines": 31},
    {"recovered": 60.1},
    {"recovered": None},
    {"starts": 4},
    {"health": 500},
    {"ended": 26.0},
]


@pytest.mark.parametrize("over", OVER)
def test_too_much_is_a_violation(over: dict[str, float | None]) -> None:
    good = {
        "requests": 30,
        "all_requests": 40,
        "lines": 30,
        "recovered": 60.0,
        "starts": 1,
        "health": 200,
        "ended": 25.0,
    }
    assert Result(case="c", process="agent", **good).violations == ()  # type: ignore[arg-type]
    assert len(Result(case="c", process="agent", **{**good, **over}).violations) == 1  # type: ignore[arg-type]
