"""How long a loop waits after failures: longer each time, never too long, and with few attempts in any minute."""

import itertools

import pytest

from virtfn_host.backoff import LIMIT, Allowance, Backoff


@pytest.mark.parametrize("jitter", [min, max])
def test_a_loop_that_fails_without_end_tries_seldom_and_never_gives_up(jitter: object) -> None:
    backoff = Backoff(jitter=jitter)  # type: ignore[arg-type]
    moments = list(itertools.accumulate(backoff.failed() for _ in range(200)))
    assert sum(moment < 60 for moment in moments) <= 8
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert max(gaps) <= LIMIT
    assert all(sum(0 <= other - moment < 60 for other in moments) <= 8 for moment in moments)


def test_a_success_begins_anew() -> None:
    backoff = Backoff(jitter=max)
    assert [backoff.failed() for _ in range(3)] == [1.0, 2.0, 4.0]
    backoff.succeeded()
    assert backoff.failed() == 1.0


def test_no_number_of_failures_is_too_many() -> None:
    assert Backoff(jitter=max).delay(10**9) == LIMIT


def test_two_loops_do_not_try_at_the_same_moment() -> None:
    assert len({Backoff().failed() for _ in range(20)}) > 10


def test_an_allowance_lets_a_burst_through_and_then_one_at_a_time() -> None:
    allowance = Allowance(burst=3, every=4.0)
    assert [allowance.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert allowance.wait(100.0) == 4.0
    assert not allowance.take(103.0)
    assert allowance.take(104.0)
    assert not allowance.take(104.0)
    assert [allowance.take(1000.0) for _ in range(4)] == [True, True, True, False]
