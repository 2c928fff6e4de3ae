"""What wakes the controller: each change of an honest object at once, those of one that never rests now and then."""

from typing import Any

import pytest

from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.controller import waking
from virtfn_operator.controller.picture import ObjectKind
from virtfn_operator.controller.reconcile import Reconciler
from virtfn_operator.controller.waking import AT_ONCE, EVERY, Waking
from virtfn_operator.settings import ApiServer

NODE, POLICY = ("SriovNode", "a"), ("SriovPolicy", "a")


def wakes(told: Waking, every: float, seconds: float, *, gone: bool = False) -> list[float]:
    """When it is woken by an object that changes, or is deleted and made anew, so often."""
    found, now, version = [], 0.0, 0
    while now < seconds:
        version += 1
        state = None if gone and version % 2 else str(version)
        if (wait := told.moved(NODE, state, now)) is not None:
            found.append(now + wait)
        now += every
    return found


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("every", [0.01, 0.1, 1.0])
def test_an_object_that_never_rests_wakes_it_now_and_then_and_its_last_change_is_seen(every: float, gone: bool) -> None:
    woken = wakes(Waking(), every, 600.0, gone=gone)
    assert len(woken) <= AT_ONCE + 600.0 / EVERY + 1
    assert 600.0 - every <= woken[-1] <= 600.0 + EVERY


@pytest.mark.parametrize("every", [4.0, 5.0, 60.0])
def test_an_honest_object_wakes_it_at_once(every: float) -> None:
    told = Waking()
    assert all(told.moved(NODE, str(n), now) == 0.0 for n, now in enumerate([0.0] * 10))
    late = [told.moved(NODE, f"later {n}", 100.0 + n * every) or 0.0 for n in range(100)]
    assert max(late) <= EVERY
    assert late[:40] == [0.0] * 40


def test_one_that_never_rests_holds_no_other_up() -> None:
    told = Waking()
    wakes(told, 0.01, 60.0)
    assert told.moved(POLICY, "1", 60.0) == 0.0
    assert told.moved(("SriovNode", "b"), "1", 60.0) == 0.0


def test_what_is_listed_again_wakes_nobody_and_what_nobody_can_tell_does() -> None:
    told = Waking()
    assert [told.moved(NODE, state, 0.0) for state in ("1", "1", "2", None, None)] == [0.0, None, 0.0, 0.0, 0.0]


def test_names_whose_end_was_missed_are_forgotten_and_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "REMEMBERED", 10)
    told = Waking()
    for number in range(100):
        assert told.moved(("Node", f"n{number}"), "labels", 0.0) == 0.0
    assert [told.moved(("Node", f"n{number}"), "labels", 1.0) for number in (99, 95, 0)] == [None, None, 0.0]


async def reconciler() -> Reconciler:
    kube = Kube(ApiServer(url="http://127.0.0.1:1", token=None, ca=None), connections=1)
    await kube.__aexit__()
    return Reconciler(kube, instance="c")


async def test_the_watch_wakes_it_later_where_an_object_never_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[int] = []
    found = await reconciler()
    monkeypatch.setattr(found, "wake", lambda: woken.append(1))
    for version in range(1, 200):
        metadata = {"name": "a", "resourceVersion": str(version), "generation": version}
        found.tell(ObjectKind.STATE, "MODIFIED", {"metadata": metadata})
    assert len(woken) == AT_ONCE


async def test_it_wakes_on_labels_and_not_on_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[int] = []
    found = await reconciler()
    monkeypatch.setattr(found, "wake", lambda: woken.append(1))
    counts = []
    for version, (event, role) in enumerate(
        [("ADDED", "x"), ("MODIFIED", "x"), ("MODIFIED", "y"), ("DELETED", "y"), ("ADDED", "y")], start=1
    ):
        metadata = {"name": "n1", "labels": {"role": role}, "resourceVersion": str(version)}
        found.tell(ObjectKind.NODE, event, {"metadata": metadata})
        counts.append(len(woken))
    assert counts == [1, 1, 2, 3, 4]


async def test_it_wakes_on_a_cordon_and_its_end_and_not_on_heartbeats_between(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[int] = []
    found = await reconciler()
    monkeypatch.setattr(found, "wake", lambda: woken.append(1))
    counts = []
    for version, event in enumerate(["ADDED", "MODIFIED", "DELETED", "ADDED"], start=1):
        found.tell(ObjectKind.CORDON, event, {"metadata": {"name": "n1", "resourceVersion": str(version)}})
        counts.append(len(woken))
    assert counts == [1, 1, 2, 3]


async def test_it_does_not_wake_on_what_it_does_not_decide_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent's inventory, a bookmark, an event that comes late, and its own write that the watch tells of."""
    woken: list[int] = []
    found = await reconciler()
    monkeypatch.setattr(found, "wake", lambda: woken.append(1))

    def state(version: int, **more: Any) -> dict[str, Any]:
        return {"metadata": {"name": "a", "resourceVersion": str(version), "generation": 1}, **more}

    found.tell(ObjectKind.STATE, "ADDED", state(5))
    for event, body in [
        ("MODIFIED", state(6, status={"functions": [{"address": "0000:01:00.0"}], "summary": {"pfs": 1}})),
        ("BOOKMARK", {"metadata": {"resourceVersion": "9"}}),
        ("MODIFIED", state(4, spec={"policies": [], "mayChange": True})),
        ("DELETED", state(3)),
    ]:
        found.tell(ObjectKind.STATE, event, body)
    assert len(woken) == 1
    assert found.newest(ObjectKind.STATE) == "9"
