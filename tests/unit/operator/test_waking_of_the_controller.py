"""What wakes the controller: each change of an honest object at once, those of one that never rests now and then."""

import asyncio
from typing import Any

import pytest

from virtfn_operator.controller import waking
from virtfn_operator.controller.controller_process import watch_registry
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


async def test_the_watch_wakes_it_later_where_an_object_never_rests() -> None:
    woken: list[int] = []
    registry = watch_registry(ApiServer(url="http://127.0.0.1:1", token=None, ca=None), lambda: woken.append(1))
    handlers: Any = registry._watching.get_all_handlers()
    (handler,) = [it for it in handlers if it.selector.any_name == "sriovnodes"]
    for version in range(200):
        body = {"kind": "SriovNode", "metadata": {"name": "a", "resourceVersion": str(version)}}
        await handler.fn(event={"type": "MODIFIED", "object": body})
    assert len(woken) == AT_ONCE
    await asyncio.sleep(0)
