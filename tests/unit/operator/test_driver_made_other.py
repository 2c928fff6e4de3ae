"""What a driver made otherwise than asked is used if the policy can be carried out with it, and else left alone."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import other_results
import pytest
from clocked_node import driver_reloaded, edited, rebooted, set_up

from virtfn_host.core.turn.tries import LIMIT
from virtfn_host.core.values.tries import MOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from clocked_node import Clocked

HOUR = 3600.0

HALF: other_results.Makes = lambda asked, _: asked // 2  # noqa: E731

USED = [
    (other_results.MORE, 4, [("fast", None)], 4, 7),
    (other_results.MORE, 2, [("fast", "0-1")], 2, 7),
    (other_results.MORE, 3, [("fast", "0"), ("slow", "1-2")], 1, 7),
    (other_results.FEWER, 4, [("fast", None)], 3, 3),
    (other_results.FEWER, 4, [("fast", "0-2")], 3, 3),
    (HALF, 6, [("fast", "0-1"), ("slow", None)], 2, 3),
]


@pytest.mark.parametrize(("makes", "count", "pools", "served", "comes"), USED)
async def test_what_came_is_used_where_every_named_vf_is_there(
    clocked: Clocked,
    makes: other_results.Makes,
    count: int,
    pools: list[tuple[str, str | None]],
    served: int,
    comes: int,
) -> None:
    clocked.node.kernel.instead.makes[clocked.pf] = makes
    clocked.ask(*pools, count=count)
    await clocked.turns()
    assert [healthy for _, healthy in clocked.offered()] == [True] * served
    status, reason, message = clocked.ready
    assert (status, reason) == ("True", "DriverMadeOther")
    assert f"asked for {count}, the driver made {comes}" in message
    assert clocked.outcome()[:2] == ("Ready", "DriverMadeOther")
    await clocked.hours(3)
    clocked.start()
    await clocked.turns()
    assert (clocked.written(str(count)), clocked.written("0")) == (1, 0)  # nothing is written again
    assert [healthy for _, healthy in clocked.offered()] == [True] * served


NOT_USED = [
    (other_results.FEWER, 4, [("fast", "0-3")], 3),
    (other_results.FEWER, 3, [("fast", "0"), ("slow", "2")], 2),
    (HALF, 6, [("fast", "0-1"), ("slow", "5")], 3),
    (other_results.NONE, 4, [("fast", None)], 0),
    (other_results.NONE, 1, [("fast", "0")], 0),
    (other_results.NONE, 7, [("fast", "0-2"), ("slow", None)], 0),
]


@pytest.mark.parametrize(("makes", "count", "pools", "comes"), NOT_USED)
async def test_what_is_not_enough_is_not_offered_and_not_tried_again_at_once(
    clocked: Clocked, makes: other_results.Makes, count: int, pools: list[tuple[str, str | None]], comes: int
) -> None:
    clocked.node.kernel.instead.makes[clocked.pf] = makes
    clocked.ask(*pools, count=count)
    await clocked.turns(8)
    assert clocked.offered() == clocked.offered("slow") == []
    status, reason, message = clocked.ready
    assert (status, reason) == ("False", "DriverMadeOther")
    assert f"asked for {count}, the driver made {comes}" in message
    assert "tried once, again 60 s after the last try, or at once when you edit the policy" in message
    assert clocked.outcome()[:2] == ("Failed", "DriverMadeOther")
    assert (clocked.written(str(count)), clocked.written("0")) == (1, 0)
    assert [path for path, _ in clocked.node.kernel.writes if path.endswith("bind")] == []


@pytest.mark.parametrize("agents", [1, 8])
@pytest.mark.parametrize("count", [2, 4, 7])
async def test_vfs_are_taken_away_three_times_and_then_no_more(clocked: Clocked, count: int, agents: int) -> None:
    clocked.node.kernel.instead.makes[clocked.pf] = other_results.FEWER
    clocked.ask(("fast", f"0-{count - 1}"), count=count)
    for _ in range(agents):  # each restart of agent and host process forgets what is not in a file
        await clocked.hours(8 // agents)
        clocked.start()
        clocked.node.host.restart()
    assert clocked.written("0") == MOST
    assert "taken away or unbound 3 times for this" in clocked.ready[2]
    assert clocked.offered() == []


@pytest.mark.parametrize("count", [1, 4, 7])
async def test_the_time_between_two_tries_grows_to_an_hour(clocked: Clocked, count: int) -> None:
    clocked.node.kernel.instead.makes[clocked.pf] = other_results.NONE
    clocked.ask(("fast", None), count=count)
    tries: list[float] = []
    while len(tries) < 9:
        before = clocked.written(str(count))
        await clocked.turns(1, 60.0)
        if clocked.written(str(count)) != before:
            tries.append(clocked.now)
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, LIMIT, LIMIT]
    assert LIMIT == HOUR


@pytest.mark.parametrize(("ends_on", "index"), [("igbvf", 0), ("igb", 1), ("igbvf", 2)])
async def test_a_vf_on_another_driver_is_never_healthy_and_unbound_three_times(
    clocked: Clocked, ends_on: str, index: int
) -> None:
    clocked.ask(("fast", None), count=3, driver="kernel")
    await clocked.turns()
    vf = str(clocked.node.vfs[index])
    clocked.node.kernel.instead.ends_on[clocked.node.vfs[index]] = ends_on
    clocked.ask(("fast", None), count=3)
    before = clocked.unbound
    await clocked.turns()
    assert dict(clocked.offered())[vf] is False
    assert clocked.ready[:2] == ("False", "DriverMadeOther")
    assert f"asked for vfio-pci, driver of {vf} is {ends_on}" in clocked.ready[2]
    assert clocked.unbound == before + 3  # one for each VF
    await clocked.hours(8)
    clocked.start()
    await clocked.hours(1)
    assert clocked.unbound == before + 2 + MOST
    assert sum(healthy for _, healthy in clocked.offered()) == 2


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_an_override_that_does_not_take_is_told_and_left_alone(clocked: Clocked, index: int) -> None:
    clocked.ask(("slow", None), count=3, driver="kernel")
    await clocked.turns()
    vf = clocked.node.vfs[index]
    clocked.node.kernel.instead.deaf.add(vf)
    clocked.ask(("fast", None), count=3)
    await clocked.turns(8)
    overrides = [path for path, _ in clocked.node.kernel.writes if path.endswith(f"{vf}/driver_override")]
    assert len(overrides) == 1
    assert clocked.outcome()[:2] == ("Failed", "DriverMadeOther")
    assert f"asked for vfio-pci, driver_override of {vf} is none" in clocked.outcome()[2]
    clocked.node.kernel.instead.deaf.clear()
    await clocked.turns(2, 60.0)
    assert clocked.ready[:2] == ("True", "Converged")


async def test_a_policy_that_has_all_it_names_is_served_beside_one_that_has_not(clocked: Clocked) -> None:
    clocked.node.kernel.instead.makes[clocked.pf] = HALF
    named: list[list[dict[str, Any]]] = [
        [{"resourceName": "fast", "indexes": "0-1"}],
        [{"resourceName": "slow", "indexes": "2-3"}],
    ]
    clocked.policies(("first", 6, named[0]), ("second", 6, named[1]))
    await clocked.turns()
    assert [healthy for _, healthy in clocked.offered()] == [True, True]
    assert clocked.offered("slow") == []
    assert clocked.outcome("first")[:2] == ("Ready", "DriverMadeOther")
    state, reason, message = clocked.outcome("second")
    assert (state, reason) == ("Rejected", "DriverMadeOther")
    assert "VF 3 of this policy are missing" in message
    await clocked.hours(8)
    assert clocked.written("0") == 0


# --- what begins anew ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [edited, driver_reloaded, set_up, rebooted])
@pytest.mark.parametrize("kind", ["fewer", "none"])
async def test_a_change_is_tried_at_once_and_counted_anew(
    clocked: Clocked, changes: Callable[[Clocked], None], kind: str
) -> None:
    clocked.node.kernel.instead.makes[clocked.pf] = other_results.KINDS[kind]
    edited(clocked)
    await clocked.hours(8)
    taken, asked = clocked.written("0"), clocked.written("4")
    changes(clocked)
    await clocked.turns(3, 1.0)
    assert clocked.written("4") == asked + 1
    await clocked.hours(8)
    assert clocked.written("0") <= taken + MOST + 1
    clocked.node.kernel.instead.makes.clear()
    edited(clocked)
    await clocked.turns(3, 1.0)
    assert clocked.ready[:2] == ("True", "Converged")
    assert [healthy for _, healthy in clocked.offered()] == [True] * 4


async def test_what_is_put_right_by_hand_is_taken_over(clocked: Clocked) -> None:
    clocked.node.kernel.instead.makes[clocked.pf] = other_results.FEWER
    edited(clocked)
    await clocked.hours(8)
    assert clocked.ready[1] == "DriverMadeOther"
    clocked.node.kernel._set_num_vfs(clocked.pf, 0)
    clocked.node.kernel._set_num_vfs(clocked.pf, 4)
    await clocked.turns(3)
    assert clocked.ready[:2] == ("True", "Converged")


# --- unknown is not no -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["more", "fewer", "none"])
async def test_while_the_count_cannot_be_read_nothing_is_taken_away(clocked: Clocked, kind: str) -> None:
    clocked.node.kernel.instead.makes[clocked.pf] = other_results.KINDS[kind]
    edited(clocked)
    await clocked.turns()
    file = clocked.node.kernel.root / "tries.json"
    file.write_text(file.read_text()[:-9])
    before = len(clocked.node.kernel.writes)
    await clocked.hours(3)
    assert len(clocked.node.kernel.writes) == before
    assert clocked.ready[:2] == ("False", "Unreadable")
    assert "tries.json cannot be read" in clocked.ready[2]
    file.unlink()
    clocked.node.kernel.instead.makes.clear()
    await clocked.turns()
    assert clocked.ready[:2] == ("True", "Converged")
