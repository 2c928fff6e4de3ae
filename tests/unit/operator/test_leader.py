"""The lease: one leads, a standby takes over when it runs out, and who cannot renew is told in time."""

import threading
from typing import Any

import pytest

from virtfn_operator.controller.leader import LEASE_DURATION, RENEW_DEADLINE, Candidate, LeaseConflictError


class Store:
    """One Lease in memory, with the API server's test of versions."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.away = False

    def read(self) -> dict[str, Any] | None:
        if self.away:
            raise OSError("no answer")
        if self.lease is None:
            return None
        return {"metadata": {"resourceVersion": str(self.version)}, "spec": dict(self.lease["spec"])}

    def write(self, lease: dict[str, Any]) -> None:
        if self.away:
            raise OSError("no answer")
        if lease["metadata"].get("resourceVersion", "0") != str(self.version):
            raise LeaseConflictError
        self.lease, self.version = lease, self.version + 1


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def pair() -> tuple[Store, Clock, Candidate, Candidate]:
    store, clock = Store(), Clock()
    return store, clock, Candidate(store, "a", monotonic=clock), Candidate(store, "b", monotonic=clock)


def test_the_first_leads_and_the_second_waits_until_the_lease_runs_out() -> None:
    _, clock, a, b = pair()
    assert a.attempt()
    assert not b.attempt()
    clock.now += LEASE_DURATION - 1
    assert a.attempt()
    assert not b.attempt()
    clock.now += LEASE_DURATION
    assert b.attempt()
    assert not a.attempt()
    assert a.overtaken


def test_a_standby_trusts_its_own_clock_only() -> None:
    store, _, a, b = pair()
    assert a.attempt()
    assert store.lease is not None
    store.lease["spec"]["renewTime"] = "1970-01-01T00:00:00.000000Z"
    assert not b.attempt()


def test_a_released_lease_is_free_at_once() -> None:
    store, _, a, b = pair()
    assert a.attempt()
    a.release()
    assert b.attempt()
    assert store.lease is not None
    assert store.lease["spec"]["leaseTransitions"] == 1


def test_two_at_once_and_only_one_gets_it() -> None:
    store, _, a, b = pair()
    seen = store.read()
    assert a.attempt()
    store.read = lambda: seen  # type: ignore[method-assign]
    assert not b.attempt()
    assert not b.overtaken


class Ticks(threading.Event):
    """An Event whose waiting is the passing of time."""

    def __init__(self, clock: Clock, limit: int = 100) -> None:
        super().__init__()
        self.clock, self.left = clock, limit

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.now += timeout or 0.0
        self.left -= 1
        return self.left < 0


def test_who_cannot_renew_is_told_before_a_standby_may_lead() -> None:
    store, clock, a, _ = pair()
    lost: list[float] = []

    def elected() -> None:
        store.away = True

    began = clock.now
    a.campaign(Ticks(clock), elected, lambda: lost.append(clock.now - began))
    assert len(lost) == 1
    assert RENEW_DEADLINE <= lost[0] < LEASE_DURATION


def test_who_stops_releases_and_is_not_told_of_a_loss() -> None:
    store, clock, a, _ = pair()
    lost: list[str] = []
    a.campaign(Ticks(clock, limit=3), lambda: None, lambda: lost.append("lost"))
    assert lost == []
    assert store.lease is not None
    assert store.lease["spec"]["holderIdentity"] == ""


@pytest.mark.parametrize("transitions", [2**31 - 1, 2**63 - 1, -(2**31), -1])
def test_a_count_of_changes_that_is_at_its_end_keeps_nobody_from_leading(transitions: int) -> None:
    store, _, first, _ = pair()
    store.lease = {"metadata": {}, "spec": {"holderIdentity": "", "leaseTransitions": transitions}}
    assert first.attempt()
    assert 0 <= store.lease["spec"]["leaseTransitions"] <= 2**31 - 1
