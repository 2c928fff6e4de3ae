"""Leading ends in time whatever the API server does: slow bytes, silence, and a wall clock that is set."""

import asyncio
import contextlib
import threading
import time
from pathlib import Path

import api_faults
import pytest
from api_server import LEASES, ApiServer

from virtfn_operator.controller import leader
from virtfn_operator.controller.leader import Candidate, KubernetesLeases
from virtfn_operator.settings import ApiServer as Where


def where(api: ApiServer) -> Where:
    return Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None)


@pytest.fixture(autouse=True)
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader, "RENEW_DEADLINE", 1.0)
    monkeypatch.setattr(leader, "RENEW_PERIOD", 0.2)
    monkeypatch.setattr(leader, "RETRY_PERIOD", 0.1)
    monkeypatch.setattr(leader, "REQUEST_TIMEOUT", 0.3)


@pytest.mark.parametrize("fault", ["a byte a second", "silence", "401", "500", "cut", "null", "nested", "409"])
async def test_a_leader_that_cannot_renew_is_told_in_time(fault: str) -> None:
    api = ApiServer()
    await api.start()
    elected, lost, stopped = threading.Event(), threading.Event(), threading.Event()
    leases = KubernetesLeases(where(api), "virtfn", "lease")
    candidate = Candidate(leases, "a")

    def campaign() -> None:
        with contextlib.closing(leases):
            candidate.campaign(stopped, elected.set, lost.set)

    campaigning = threading.Thread(target=campaign, daemon=True)
    campaigning.start()
    threading.Thread(target=candidate.guard, args=(stopped, lost.set), daemon=True).start()
    assert await asyncio.to_thread(elected.wait, 10.0)
    renewed = candidate.renewed_at
    api.fault = api_faults.named(api)[fault]
    assert await asyncio.to_thread(lost.wait, 10.0)
    assert time.monotonic() - renewed < 3.0
    stopped.set()
    await asyncio.to_thread(campaigning.join, 10.0)
    await api.stop()


class Stuck:
    """A store that never answers the second time."""

    def __init__(self) -> None:
        self.hang = threading.Event()
        self.asked = 0

    def read(self) -> None:
        self.asked += 1
        if self.asked > 1:
            self.hang.wait(20.0)

    def write(self, lease: object) -> None:
        pass


def test_no_answer_that_does_not_come_holds_off_the_deadline() -> None:
    store = Stuck()
    lost, stopped = threading.Event(), threading.Event()
    candidate = Candidate(store, "a")
    for run, words in ((candidate.campaign, (stopped, lambda: None, lost.set)), (candidate.guard, (stopped, lost.set))):
        threading.Thread(target=run, args=words, daemon=True).start()
    began = time.monotonic()
    assert lost.wait(5.0)
    assert time.monotonic() - began < 3.0
    store.hang.set()
    stopped.set()


class Slow:
    """A store that takes the first renewal to its time-out, and is well again."""

    def __init__(self) -> None:
        self.begun: list[float] = []

    def read(self) -> None:
        self.begun.append(time.monotonic())
        if len(self.begun) == 2:
            time.sleep(0.4)  # what runs into a time-out waits
            raise TimeoutError

    def write(self, lease: object) -> None:
        pass


def test_a_renewal_that_ran_into_its_time_out_is_repeated_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader, "RETRY_PERIOD", 0.35)
    monkeypatch.setattr(leader, "RENEW_DEADLINE", 5.0)
    store, stopped = Slow(), threading.Event()
    candidate = Candidate(store, "a")
    campaign = threading.Thread(target=candidate.campaign, args=(stopped, lambda: None, stopped.set), daemon=True)
    campaign.start()
    while len(store.begun) < 3:
        time.sleep(0.01)
    stopped.set()
    campaign.join(5.0)
    assert store.begun[2] - store.begun[1] < 0.7  # and not a whole period after its end


def test_who_stops_is_not_told_of_a_loss() -> None:
    lost, stopped = threading.Event(), threading.Event()
    store = Stuck()
    store.asked = -1000
    candidate = Candidate(store, "a")
    threads = [
        threading.Thread(target=candidate.campaign, args=(stopped, lambda: None, lost.set), daemon=True),
        threading.Thread(target=candidate.guard, args=(stopped, lost.set), daemon=True),
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    stopped.set()
    for thread in threads:
        thread.join(5.0)
        assert not thread.is_alive()
    assert not lost.is_set()


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_clock_that_is_set_ends_and_prolongs_no_leading(monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    store = Stuck()
    store.asked = -1000
    candidate = Candidate(store, "a")
    assert candidate.attempt()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    assert candidate.attempt()
    assert not candidate._late()


async def test_a_lease_is_renewed_by_one_request_and_taken_over_by_nobody_else(tmp_path: Path) -> None:
    api = ApiServer()
    await api.start()
    path = f"{LEASES}/lease"

    def campaign() -> list[bool]:
        stores = [KubernetesLeases(where(api), "virtfn", "lease") for _ in range(2)]
        with contextlib.closing(stores[0]), contextlib.closing(stores[1]):
            first, second = Candidate(stores[0], "a"), Candidate(stores[1], "b")
            return [first.attempt(), first.attempt(), second.attempt(), first.attempt()]

    assert await asyncio.to_thread(campaign) == [True, True, False, True]
    assert [(seen.method, seen.path) for seen in api.seen] == [
        ("GET", path),
        ("POST", LEASES),
        ("PUT", path),
        ("GET", path),
        ("PUT", path),
    ]
    assert api.objects[path]["spec"]["holderIdentity"] == "a"
    assert api.objects[path]["spec"]["leaseDurationSeconds"] == 15
    await api.stop()
