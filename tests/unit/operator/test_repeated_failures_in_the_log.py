"""The same failure in the log: once, then at growing distance with a count; different failures are bounded, too."""

import io
import logging
from collections.abc import Callable

import pytest

from virtfn_host.logs.repeats import LINES, Repeats


class Log:
    def __init__(self) -> None:
        self.now = 0.0
        self.out = io.StringIO()
        self.handler = logging.StreamHandler(self.out)
        self.handler.addFilter(Repeats(clock=lambda: self.now))
        self.logger = logging.Logger("virtfn.test")
        self.logger.addHandler(self.handler)

    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()


@pytest.fixture
def log() -> Log:
    return Log()


def fail(log: Log) -> None:
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        log.logger.exception("a turn failed")


def lose(log: Log) -> None:
    log.logger.warning("cannot report: attempt %d of %s", int(log.now), hex(int(log.now) + 7))


@pytest.mark.parametrize("say", [fail, lose])
def test_a_failure_that_goes_on_for_an_hour_costs_few_lines(log: Log, say: Callable[[Log], None]) -> None:
    counts = []
    for _ in range(60):
        before = len(log.lines())
        for _ in range(60):
            say(log)
            log.now += 1.0
        counts.append(len(log.lines()) - before)
    assert counts[0] <= 12
    assert max(counts[1:]) <= 2
    assert sum(counts) < 25
    assert "times in" in log.lines()[-1]


def test_many_different_failures_are_bounded(log: Log) -> None:
    for number in range(1000):
        log.logger.warning("failure %s", "abcdefghij"[number % 10] * (1 + number // 10))
    assert len(log.lines()) == LINES
    log.now += 61.0
    log.logger.warning("another")
    assert "980 other warnings were not logged" in log.lines()[-1]


def test_a_long_traceback_is_cut_to_its_last_line_when_there_is_no_room(log: Log) -> None:
    for number in range(LINES - 1):
        log.logger.warning("failure %s", "x" * (number + 1))
    fail(log)
    assert log.lines()[-1] == "a turn failed: RuntimeError('boom')"


def test_what_goes_well_is_told_in_full(log: Log) -> None:
    for _ in range(100):
        log.logger.info("wrote spec")
    assert len(log.lines()) == 100


def test_a_failure_that_comes_again_much_later_is_news(log: Log) -> None:
    lose(log)
    log.now += 3600.0
    lose(log)
    assert all("times in" not in line for line in log.lines())


def test_a_clock_that_is_set_changes_nothing(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 4e9)
    for _ in range(5):
        lose(log)
    assert len(log.lines()) == 1
