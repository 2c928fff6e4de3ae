"""The place of a node whose turn ended is free when it has answered that, or is silent. A set clock frees none."""

from collections.abc import Callable

import pytest
from fleet_of_policies import Fleet, edited


def by_an_edit() -> Fleet:
    """Return a fleet whose first node is changing something and loses its turn, because a paused policy is edited."""
    fleet = Fleet({"n1": "ab", "n2": "a"})
    edited(fleet, "a")
    fleet.policies["b"]["metadata"]["annotations"] = {"virtfn.dev/paused": "true"}
    fleet.edit("b")
    return fleet


def by_a_cordon() -> Fleet:
    """Return a fleet whose first node has withdrawn something and loses its turn, because it is cordoned."""
    fleet = Fleet({"n1": "a", "n2": "a"}, a={"whenInUse": "Evict"})
    edited(fleet, "a")
    fleet.says("n1", disruptive=True, pods=True, a="Changing")
    fleet.cordoned = frozenset({"n1"})
    return fleet


ENDS = [by_an_edit, by_a_cordon]
End = Callable[[], Fleet]


def ended(end: End) -> Fleet:
    fleet = end()
    assert fleet.turns == ["n1"]
    fleet.look()
    assert fleet.turns == []
    return fleet


def progress(fleet: Fleet, steps: int) -> None:
    """The first node goes on with what it began, and has not seen its new spec."""
    body = fleet.nodes["n1"]
    plan = {**body["status"]["plan"], "steps": steps}
    fleet.nodes["n1"] = {**body, "status": {**body["status"], "plan": plan}}


@pytest.mark.parametrize("end", ENDS)
def test_an_answer_frees_it_at_once(end: End) -> None:
    fleet = ended(end)
    fleet.look(1)
    assert fleet.turns == []
    fleet.says("n1", disruptive=True, a="Changing")
    fleet.look(1)
    assert fleet.turns == ["n2"]


@pytest.mark.parametrize("end", ENDS)
def test_silence_frees_it_after_the_timeout(end: End) -> None:
    fleet = ended(end)
    fleet.look(899)
    assert fleet.turns == []
    fleet.look(1)
    assert fleet.turns == ["n2"]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("seconds", [3600, -3600, 90000, -90000])
def test_a_clock_that_is_set_frees_nothing(end: End, seconds: int) -> None:
    fleet = ended(end)
    fleet.look(seconds, jumped=True)
    assert fleet.turns == []
    fleet.look(899)
    assert fleet.turns == []
    fleet.look(1)
    assert fleet.turns == ["n2"]


@pytest.mark.parametrize("seconds", [-60, -3600, -90000])
def test_the_clock_of_the_next_leader_may_be_behind(seconds: int) -> None:
    fleet = ended(by_an_edit)
    fleet.look(seconds)
    assert fleet.turns == []
    fleet.look(899)
    assert fleet.turns == []
    fleet.look(1)
    assert fleet.turns == ["n2"]


@pytest.mark.parametrize(("end", "every"), [(by_an_edit, 60), (by_an_edit, 899), (by_a_cordon, 60)])
def test_a_node_that_reports_progress_is_waited_for_as_in_its_turn(end: End, every: int) -> None:
    fleet = ended(end)
    since, steps = fleet.now, 1000
    while not fleet.turns:
        progress(fleet, steps := steps - 1)
        fleet.look(every)
    waited = (fleet.now - since).total_seconds()
    assert 8 * 900 - every <= waited <= 8 * 900 + every


def test_progress_counts_though_no_controller_looked_for_long() -> None:
    fleet = ended(by_an_edit)
    progress(fleet, 500)
    fleet.look(5000)
    assert fleet.turns == []
    fleet.look(900)
    assert fleet.turns == ["n2"]
