"""VFs that come or go by themselves after a driver made another number than asked end no pause, and are used or waited
for as they are; a person who helps does end it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import other_results
import pytest
from clocked_node import driver_reloaded, edited, other_card, rebooted, set_up

from virtfn_host.core.turn.tries import pause_after
from virtfn_host.core.values.tries import MOST

HOUR = 3600.0

if TYPE_CHECKING:
    from collections.abc import Callable

    from clocked_node import Clocked


async def made_slowly(clocked: Clocked, most: int, seconds: float, turns: int, more: int = 1) -> None:
    """Let turns pass, with more VFs after each, as a driver makes them that goes on after the write returned."""
    for _ in range(turns):
        await clocked.turns(1, seconds)
        if 0 < len(clocked.node.vfs) < most:
            there(clocked, min(len(clocked.node.vfs) + more, most))


def there(clocked: Clocked, number: int) -> None:
    """Make so many VFs without virtfn: more beside those that are there, or fewer."""
    if number < len(clocked.node.vfs):
        clocked.node.kernel._set_num_vfs(clocked.pf, 0)
    clocked.node.kernel._set_num_vfs(clocked.pf, number)


def first_makes(clocked: Clocked, number: int) -> None:
    clocked.node.kernel.instead.makes[clocked.pf] = lambda asked, total: number


def resizes(clocked: Clocked, count: int) -> tuple[int, int]:
    """How often the count was written, and 0."""
    return clocked.written(str(count)), clocked.written("0")


# --- a driver that makes VFs after the write -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "pool", "first", "more", "seconds"),
    [(4, "0-3", 1, 1, 4.0), (7, "0-6", 2, 1, 9.0), (6, "5", 1, 2, 15.0), (3, "0-2", 1, 2, 50.0)],
)
async def test_vfs_that_come_later_are_taken_and_none_is_lost(
    clocked: Clocked, count: int, pool: str, first: int, more: int, seconds: float
) -> None:
    first_makes(clocked, first)
    clocked.ask(("fast", pool), count=count)
    await made_slowly(clocked, count, seconds, 8, more)
    assert clocked.ready[:2] == ("True", "Converged")
    assert {healthy for _, healthy in clocked.offered()} == {True}
    await clocked.turns(3, HOUR)
    assert resizes(clocked, count) == (1, 0)


@pytest.mark.parametrize(
    ("count", "pool", "first", "most", "more"),
    [(6, "0-3", 1, 5, 1), (6, "2", 1, 5, 2), (4, "0-3", 2, 7, 2), (4, "0-3", 1, 7, 3), (2, None, 1, 7, 2)],
)
async def test_another_number_in_the_end_is_used_where_it_is_enough_and_tried_three_times(
    clocked: Clocked, count: int, pool: str | None, first: int, most: int, more: int
) -> None:
    first_makes(clocked, first)
    clocked.ask(("fast", pool), count=count)
    for tries in range(MOST + 1):
        await made_slowly(clocked, most, 4.0, 5, more)
        await clocked.turns(1, pause_after(tries + 1) - 20.0)  # the next turn is that of the next try
        assert clocked.ready[:2] == ("True", "DriverMadeOther")
        assert f"asked for {count}, the driver made {first}" in clocked.ready[2]
        assert f"there are {most} now" in clocked.ready[2]
        assert {healthy for _, healthy in clocked.offered()} == {True}
        assert resizes(clocked, count) == (tries + 1, tries)
    await clocked.turns(3, HOUR)
    assert clocked.ready[:2] == ("True", "DriverMadeOther")
    assert resizes(clocked, count) == (MOST + 1, MOST)


@pytest.mark.parametrize("number", [0, 2, 3, 7])
async def test_what_is_undone_long_after_a_slow_driver_is_repaired_at_once(clocked: Clocked, number: int) -> None:
    first_makes(clocked, 1)
    clocked.ask(("fast", None), count=4)
    await made_slowly(clocked, 4, 4.0, 8)
    await clocked.turns(2, HOUR)
    assert resizes(clocked, 4) == (1, 0)
    clocked.node.kernel.instead.makes.clear()
    there(clocked, number)
    await clocked.turns(2)
    assert clocked.ready[:2] == ("True", "Converged")
    assert resizes(clocked, 4) == (2, 1 if number else 0)


async def test_a_driver_slower_than_the_first_pause_has_time_in_a_longer_one(clocked: Clocked) -> None:
    first_makes(clocked, 1)
    clocked.ask(("fast", "0-3"), count=4)
    await made_slowly(clocked, 4, 30.0, 12)
    assert clocked.ready[:2] == ("True", "Converged")
    assert resizes(clocked, 4) == (2, 1)


# --- a card that loses its VFs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "pool", "left"),
    [("fewer", "0-3", 0), ("more", None, 0), ("more", "0-3", 0), ("fewer", "0-3", 1), ("more", "0-3", 1)],
)
async def test_vfs_that_go_after_each_try_are_made_again_ever_more_rarely(
    clocked: Clocked, kind: str, pool: str | None, left: int
) -> None:
    clocked.node.kernel.instead.makes[clocked.pf] = other_results.KINDS[kind]
    clocked.ask(("fast", pool), count=4)
    tries: list[float] = []
    for _ in range(40):
        before = clocked.written("4")
        await clocked.turns(1, 30.0)
        if clocked.written("4") != before:
            tries.append(clocked.now)
        there(clocked, left)
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses == ([60.0, 120.0, 240.0] if left else [60.0, 120.0, 240.0, 480.0])
    assert clocked.written("0") == (MOST if left else 0)
    assert clocked.ready[:2] == ("False", "DriverMadeOther")
    assert f"there are {left} now" in clocked.ready[2]
    assert clocked.offered() == []


@pytest.mark.parametrize("left", [0, 1])
async def test_vfs_that_go_long_after_a_try_are_made_again_at_once(clocked: Clocked, left: int) -> None:
    clocked.node.kernel.instead.makes[clocked.pf] = other_results.MORE
    clocked.ask(("fast", None), count=4)
    await clocked.turns(2, HOUR)
    there(clocked, left)
    await clocked.turns(2)
    assert resizes(clocked, 4) == (2, left)
    assert [healthy for _, healthy in clocked.offered()] == [True] * 4


@pytest.mark.parametrize("seconds", [4.0, 300.0])
async def test_a_vf_in_use_stays_whatever_became_of_the_others(clocked: Clocked, seconds: float) -> None:
    clocked.node.kernel.instead.makes[clocked.pf] = other_results.MORE
    clocked.ask(("fast", None), count=4)
    await clocked.turns()
    there(clocked, 1)
    await clocked.turns(1)
    clocked.node.hold(0)
    await clocked.turns(5, seconds)
    there(clocked, 3)
    await clocked.turns(5, seconds)
    assert resizes(clocked, 4) == (1, 0)
    assert clocked.node.drivers[0] == "vfio-pci"


# --- a person helps --------------------------------------------------------------------------------------------------


def edited_count(clocked: Clocked) -> None:
    clocked.ask(("fast", "0-2"), count=3)


CHANGES = [(edited, 4), (edited_count, 3), (driver_reloaded, 4), (set_up, 4), (other_card, 4), (rebooted, 4)]


@pytest.mark.parametrize(("changes", "count"), CHANGES)
@pytest.mark.parametrize("left", [0, 1, 2])
async def test_a_change_is_tried_at_once_whatever_number_is_there(
    clocked: Clocked, changes: Callable[[Clocked], None], count: int, left: int
) -> None:
    clocked.node.kernel.instead.makes[clocked.pf] = other_results.FEWER
    edited(clocked)
    await clocked.turns(1)
    there(clocked, left)
    await clocked.turns(3, 1.0)
    assert resizes(clocked, 4) == (1, 0)
    clocked.node.kernel.instead.makes.clear()
    changes(clocked)
    await clocked.turns(3, 1.0)
    assert len(clocked.node.vfs) == count
    assert clocked.ready[:2] == ("True", "Converged")


@pytest.mark.parametrize("left", [0, 1, 2])
async def test_the_number_asked_for_is_taken_over_at_once_when_a_person_sets_it(clocked: Clocked, left: int) -> None:
    clocked.node.kernel.instead.makes[clocked.pf] = other_results.FEWER
    edited(clocked)
    await clocked.turns(1)
    there(clocked, left)
    await clocked.turns(1)
    there(clocked, 4)
    await clocked.turns(2, 1.0)
    assert clocked.ready[:2] == ("True", "Converged")
    assert resizes(clocked, 4) == (1, 0)
