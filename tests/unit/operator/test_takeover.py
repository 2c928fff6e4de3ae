"""A leader that is killed has a successor within 20 s, and one that lives writes nothing any more when it comes.

The bounds follow from the constants of the lease; time is a fake clock, requests take time on it.
"""

import threading
from typing import Any

import pytest

from virtfn_operator.controller import leader
from virtfn_operator.controller.leader import (
    LEASE_DURATION,
    RENEW_DEADLINE,
    RENEW_PERIOD,
    REQUEST_TIMEOUT,
    SPREAD,
    STANDBY_PERIOD,
    TAKEOVER,
    Candidate,
    LeaseConflictError,
)
from virtfn_operator.controller.reconcile import WRITE_SECONDS

WITHIN = 20.0
STOOD_STILL = 5.0
"""Seconds for which a whole process stood still on a node short of CPU (measured by hand)."""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Store:
    """One Lease, with versions as an API server has them; each request takes its time."""

    def __init__(self, clock: Clock, takes: float = 0.0) -> None:
        self.clock, self.takes = clock, takes
        self.spec: dict[str, Any] | None = None
        self.version = 50
        self.cut_off: set[object] = set()

    def read(self) -> dict[str, Any] | None:
        self.clock.now += self.takes
        if self.spec is None:
            return None
        return {"metadata": {"resourceVersion": str(self.version)}, "spec": dict(self.spec)}

    def write(self, lease: dict[str, Any]) -> dict[str, Any] | None:
        self.clock.now += self.takes
        known = str(self.version) if self.spec is not None else None
        if lease["metadata"].get("resourceVersion") != known:
            raise LeaseConflictError
        self.spec, self.version = dict(lease["spec"]), self.version + 1
        return self.read_now()

    def read_now(self) -> dict[str, Any] | None:
        return {"metadata": {"resourceVersion": str(self.version)}, "spec": dict(self.spec or {})}

    def restored(self, spec: dict[str, Any] | None, version: int) -> None:
        self.spec, self.version = spec, version


class Cut:
    """The store for a process that has lost its way to it."""

    def __init__(self, store: Store) -> None:
        self.store, self.away = store, False

    def read(self) -> dict[str, Any] | None:
        if self.away:
            raise OSError("no answer")
        return self.store.read()

    def write(self, lease: dict[str, Any]) -> dict[str, Any] | None:
        if self.away:
            raise OSError("no answer")
        return self.store.write(lease)


class Passing(threading.Event):
    """An Event whose waiting is the passing of time; it is set after an hour."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.end = clock, clock.now + 3600

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.now += timeout or 0.0
        return self.clock.now > self.end


def elected_at(candidate: Candidate, clock: Clock) -> float:
    """When this standby leads."""
    when: list[float] = []
    stopped = Passing(clock)

    def elected() -> None:
        when.append(clock.now)
        stopped.end = clock.now

    candidate.campaign(stopped, elected, lambda: None)
    (found,) = when
    return found


@pytest.fixture(params=[1 - SPREAD, 1.0, 1 + SPREAD], ids=["early", "even", "late"])
def _spread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader, "between", lambda _low, _high: request.param)


def test_the_constants_promise_it() -> None:
    assert TAKEOVER + 3 * 0.5 < WITHIN, "with requests of half a second"
    assert RENEW_DEADLINE + WRITE_SECONDS < LEASE_DURATION, "a late write ends before another one may lead"
    assert RENEW_PERIOD + STOOD_STILL < RENEW_DEADLINE, "a process that stood still keeps its lease"
    assert RENEW_PERIOD + 2 * REQUEST_TIMEOUT < RENEW_DEADLINE, "two renewals may time out"
    assert STANDBY_PERIOD * (1 + SPREAD) < LEASE_DURATION


@pytest.mark.usefixtures("_spread")
@pytest.mark.parametrize("takes", [0.0, 0.05, 0.3, 0.5])
@pytest.mark.parametrize("before", [0.0, 0.4, 1.3, 2.4])
def test_a_killed_leader_has_a_successor_within_20_s(takes: float, before: float) -> None:
    """`before`: the seconds from the standby's last look to the last renewal; then comes the kill."""
    clock = Clock()
    store = Store(clock, takes)
    old, new = (Candidate(store, name, monotonic=clock) for name in "ab")
    assert old.attempt()
    assert not new.attempt()
    clock.now += before
    assert old.attempt()
    killed = clock.now
    clock.now += max(0.0, STANDBY_PERIOD * (1 + SPREAD) - before)  # the longest pause of a standby
    took = elected_at(new, clock) - killed
    assert took + STANDBY_PERIOD >= LEASE_DURATION
    assert took < WITHIN, f"{took:.1f} s"


@pytest.mark.usefixtures("_spread")
@pytest.mark.parametrize("takes", [0.0, 0.3])
@pytest.mark.parametrize("before", [0.0, 1.0, 2.9])
def test_a_leader_that_is_cut_off_has_ended_its_last_write_before_the_next_one_leads(
    takes: float, before: float
) -> None:
    clock = Clock()
    store = Store(clock, takes)
    cut = Cut(store)
    old, new = Candidate(cut, "a", monotonic=clock), Candidate(store, "b", monotonic=clock)
    last_hold: list[float] = []

    def leads() -> None:
        assert not new.attempt()
        clock.now += before
        cut.away = True

    def lost() -> None:
        assert not old.holds()
        last_hold.append(old.renewed_at + RENEW_DEADLINE)

    old.campaign(Passing(clock), leads, lost)
    ended = clock.now
    # Turned back to the cut: the standby has its own course of time from there.
    clock.now = old.renewed_at + before
    assert elected_at(new, clock) > max(last_hold[0] + WRITE_SECONDS, min(ended, last_hold[0]))


@pytest.mark.parametrize("second", [0.0, 3.0, 9.9, 10.0, 14.9])
def test_a_leader_holds_the_lease_for_no_longer_than_its_deadline(second: float) -> None:
    clock = Clock()
    store = Store(clock)
    candidate = Candidate(store, "a", monotonic=clock)
    found: list[bool] = []

    def leads() -> None:
        clock.now = candidate.renewed_at + second
        found.append(candidate.holds())

    stopped = Passing(clock)
    stopped.end = clock.now - 1
    candidate.campaign(stopped, leads, lambda: None)
    assert found == [second < RENEW_DEADLINE]


# --- the store is restored from an older copy ------------------------------------------------------------------------

OLDER = {
    "released": {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": "long ago"},
    "of the standby": {"holderIdentity": "b", "leaseDurationSeconds": 15, "renewTime": "long ago"},
    "of a pod that is gone": {"holderIdentity": "z", "leaseDurationSeconds": 15, "renewTime": "long ago"},
    "not made yet": None,
}


@pytest.mark.parametrize("spec", OLDER.values(), ids=OLDER)
def test_a_standby_waits_for_the_leader_that_a_restored_lease_does_not_name(spec: dict[str, Any] | None) -> None:
    clock = Clock()
    store = Store(clock)
    old, new = (Candidate(store, name, monotonic=clock) for name in "ab")
    assert old.attempt()
    assert not new.attempt()
    store.restored(spec, 7)
    restored = clock.now
    took = elected_at(new, clock) - restored
    assert RENEW_DEADLINE + WRITE_SECONDS < took < WITHIN


@pytest.mark.parametrize("spec", OLDER.values(), ids=OLDER)
def test_with_a_restored_lease_the_leader_goes_on_or_ends_and_never_leads_beside_another(
    spec: dict[str, Any] | None,
) -> None:
    clock = Clock()
    store = Store(clock)
    old, new = (Candidate(store, name, monotonic=clock) for name in "ab")
    went_on: list[bool] = []

    def leads() -> None:
        assert not new.attempt()
        store.restored(spec, 7)
        assert not new.attempt()
        went_on.append(old.attempt() or old.attempt())  # the first is a conflict: it writes what it had
        assert not new.attempt(), "before the old one had its deadline"

    stopped = Passing(clock)
    stopped.end = clock.now - 1
    old.campaign(stopped, leads, lambda: None)
    foreign = spec is not None and spec["holderIdentity"] not in ("", "a")
    assert went_on == [not foreign]
    assert old.overtaken is foreign


def test_a_process_that_starts_anew_takes_its_own_lease_at_once() -> None:
    clock = Clock()
    store = Store(clock)
    assert Candidate(store, "a", monotonic=clock).attempt()
    assert Candidate(store, "a", monotonic=clock).attempt()
