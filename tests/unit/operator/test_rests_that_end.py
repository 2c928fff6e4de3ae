"""The rest after a turn that could not be used ends with its cause, and pods that come and go do not defeat it."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from fleet_of_policies import Fleet

from virtfn_operator.controller.evict import EvictionAnswer, Said, read_pods

EVICT: dict[str, Any] = {"whenInUse": "Evict"}
CONTINUE: dict[str, Any] = {"onFailure": "Continue"}
PAUSE = 600
LONGEST = 16 * PAUSE
STEP = 60
"""Seconds between two looks."""


def no_right(fleet: Fleet) -> None:
    fleet.pods["n1"] = "pods is forbidden"


def of_a_daemon(fleet: Fleet) -> None:
    owner = {"kind": "DaemonSet", "name": "net", "controller": True}
    metadata = {"namespace": "default", "name": "n1-pod", "uid": "u-n1", "ownerReferences": [owner]}
    fleet.pods["n1"] = read_pods([{"metadata": metadata}])


def budget(fleet: Fleet) -> None:
    fleet.answers["u-n1"] = EvictionAnswer(said=Said.REFUSED, text="The disruption budget web needs 2 healthy pods")


def silent(fleet: Fleet) -> None:
    """An evicted pod does not end, so the node loses its turn."""
    fleet.answers["u-n1"] = EvictionAnswer(said=Said.DONE)


OBSTACLES = [no_right, of_a_daemon, budget, silent]


def held(fleet: Fleet) -> None:
    fleet.says("n1", disruptive=True, pods=True, a="Changing")


def free(fleet: Fleet) -> None:
    fleet.says("n1", disruptive=True, a="Changing")


def failing(fleet: Fleet) -> None:
    """The agent says so in its turn; without one it waits for the next."""
    fleet.says("n1", disruptive=True, a="Failed" if fleet.turns else "Changing")


def in_vain(fleet: Fleet, says: Callable[[Fleet], None], number: int) -> Fleet:
    """Let turns end before their work is done, each at once when the one before it allows that.

    Returns:
        the fleet, at the moment at which the last of them has ended.
    """
    begun = 0
    for _ in range(1000):
        says(fleet)
        before = fleet.turns
        fleet.look(STEP if before else PAUSE)
        begun += (before, fleet.turns) == ([], ["n1"])
        if begun == number and not fleet.turns:
            says(fleet)
            return fleet
    raise AssertionError(f"only {begun} turns")


def given_up(obstacle: Callable[[Fleet], None], number: int, **policies: Any) -> Fleet:
    fleet = Fleet({"n1": "a" + "".join(policies)}, a=EVICT, **policies)
    obstacle(fleet)
    return in_vain(fleet, held, number)


def failed(number: int, **policies: Any) -> Fleet:
    return in_vain(Fleet({"n1": "a" + "".join(policies)}, a=CONTINUE, **policies), failing, number)


def seconds_until_a_turn(fleet: Fleet, says: Callable[[Fleet], None]) -> int:
    for seconds in range(0, 2 * LONGEST, STEP):
        says(fleet)
        fleet.look()
        if fleet.turns:
            return seconds
        fleet.now += timedelta(seconds=STEP)
    raise AssertionError("no turn")


@pytest.mark.parametrize("obstacle", OBSTACLES)
@pytest.mark.parametrize("number", [2, 6])
def test_a_node_whose_pods_have_gone_has_its_turn_at_once(obstacle: Callable[[Fleet], None], number: int) -> None:
    fleet = given_up(obstacle, number)
    fleet.look(PAUSE)
    assert fleet.turns == []
    assert seconds_until_a_turn(fleet, free) == 0


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_pods_that_still_hold_it_keep_the_whole_rest(obstacle: Callable[[Fleet], None]) -> None:
    fleet = given_up(obstacle, 6)
    assert seconds_until_a_turn(fleet, held) == LONGEST


@pytest.mark.parametrize("evict", [{}, {"withdrawn": False}, [], "", "none", 0, True])
def test_what_is_said_of_pods_and_cannot_be_read_keeps_the_whole_rest(evict: object) -> None:
    def unknown(fleet: Fleet) -> None:
        free(fleet)
        fleet.nodes["n1"]["status"]["plan"]["evict"] = evict

    assert seconds_until_a_turn(given_up(no_right, 6), unknown) == LONGEST


@pytest.mark.parametrize("obstacle", [no_right, of_a_daemon])
@pytest.mark.parametrize("away", [1, 2, 5])
def test_pods_that_come_and_go_bring_no_turn_within_the_first_pause(
    obstacle: Callable[[Fleet], None], away: int
) -> None:
    """And while they hold it, the rest grows as before."""
    fleet = given_up(obstacle, 1)
    begun = []
    for number in range(300):
        (free if not fleet.turns and number % 10 < away else held)(fleet)
        before = fleet.turns
        fleet.look(STEP)
        if (before, fleet.turns) == ([], ["n1"]):
            begun.append(number * STEP)
    assert len(begun) > 10
    assert min(after - before for before, after in pairwise(begun)) >= PAUSE
    while fleet.turns:
        held(fleet)
        fleet.look()
    assert seconds_until_a_turn(fleet, held) >= LONGEST - 2 * PAUSE


def test_while_it_still_rests_a_node_whose_pods_have_gone_is_not_said_to_have_failed() -> None:
    fleet = given_up(budget, 3)
    free(fleet)
    fleet.nodes["n1"]["status"]["policies"][0]["reason"] = "WaitingForTurn"
    fleet.look()
    assert fleet.turns == []
    (message,) = [c["message"] for c in fleet.policies["a"]["status"]["conditions"] if c["type"] == "Ready"]
    assert "pods were in the way in its last turn; it has another turn 10 minutes after" in message
    assert fleet.policies["a"]["status"]["nodes"]["failed"] == 0


@pytest.mark.parametrize("policy", ["a", "b"])
@pytest.mark.parametrize("number", [1, 6])
def test_an_edit_ends_the_rest_after_a_failure(number: int, policy: str) -> None:
    fleet = failed(number, b=CONTINUE)
    fleet.edit(policy)
    fleet.look()
    assert seconds_until_a_turn(fleet, free) == 0


@pytest.mark.parametrize("says", [free, held])
@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_an_edit_ends_the_rest_after_evictions_in_vain(
    obstacle: Callable[[Fleet], None], says: Callable[[Fleet], None]
) -> None:
    fleet = given_up(obstacle, 6)
    fleet.edit("a")
    fleet.look()
    assert seconds_until_a_turn(fleet, says) == 0


def test_after_an_edit_the_next_rest_is_a_first_one() -> None:
    fleet = given_up(no_right, 6)
    fleet.edit("a")
    in_vain(fleet, held, 1)
    assert seconds_until_a_turn(fleet, held) == PAUSE


@pytest.mark.parametrize("policy", ["a", "b"])
def test_a_turn_that_ends_with_an_edit_brings_no_rest_for_it(policy: str) -> None:
    fleet = Fleet({"n1": "ab"}, a=EVICT, b=EVICT)
    no_right(fleet)
    held(fleet)
    fleet.look()
    assert fleet.turns == ["n1"]
    held(fleet)
    fleet.edit(policy)
    fleet.look()
    assert seconds_until_a_turn(fleet, free) == 0


@pytest.mark.parametrize("left", ["", "b"])
def test_the_rest_ends_when_the_policy_that_failed_is_taken_away(left: str) -> None:
    """What is left of it is given back in a turn, too."""
    fleet = failed(6, b=CONTINUE)
    fleet.labels["n1"] = dict.fromkeys(left, "")
    fleet.look()
    assert seconds_until_a_turn(fleet, lambda fleet: fleet.says("n1", disruptive=True, b="Changing")) == 0


def test_the_rest_ends_when_the_node_is_well_by_itself() -> None:
    fleet = failed(6)
    fleet.says("n1")
    fleet.look()
    assert seconds_until_a_turn(fleet, free) == 0


@pytest.mark.parametrize("pods", [False, True])
def test_pods_that_go_do_not_end_the_rest_after_a_failure(pods: bool) -> None:
    """Also where evictions were refused in the same turn."""
    fleet = Fleet({"n1": "ab"}, a=CONTINUE, b=EVICT)
    budget(fleet)

    def says(fleet: Fleet) -> None:
        word = "Failed" if fleet.turns else "Changing"
        fleet.says("n1", disruptive=True, pods=pods, a=word, b="Blocked" if pods else "Ready")

    in_vain(fleet, says, 6)
    assert seconds_until_a_turn(fleet, free) == LONGEST
