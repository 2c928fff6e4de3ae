"""A turn that waits for pods ends, whatever becomes of the node or of the pods, and then pods use the node again."""

from datetime import timedelta
from typing import Any

import pytest
from fleet_of_policies import Fleet, edited

from virtfn_operator.controller import turns
from virtfn_operator.controller.evict import EvictionAnswer, PodOnNode, Said, read_pods

DONE = EvictionAnswer(said=Said.DONE)
REFUSED = EvictionAnswer(said=Said.REFUSED, text="The disruption budget web needs 2 healthy pods")
LATER = EvictionAnswer(said=Said.LATER, text="503: busy")


def evicting() -> Fleet:
    """Return a fleet whose first node has its turn, has withdrawn everything and names its pod, to be evicted now."""
    fleet = Fleet({"n1": "a", "n2": "a"}, a={"whenInUse": "Evict"})
    edited(fleet, "a")
    for _ in range(2):
        speaks(fleet)
        decision = fleet.look()
    assert [str(one.pod) for one in decision.evictions] == ["default/n1-pod"]
    return fleet


def speaks(fleet: Fleet) -> None:
    fleet.says("n1", disruptive=True, pods=True, a="Changing")


def ending(fleet: Fleet, seconds: float) -> tuple[PodOnNode, ...]:
    """Return the pod of the first node, which has so many seconds to end."""
    until = (fleet.now + timedelta(seconds=seconds)).isoformat()
    metadata = {"namespace": "default", "name": "n1-pod", "uid": "u-n1", "deletionTimestamp": until}
    return read_pods([{"metadata": metadata}])


def pass_by(fleet: Fleet, seconds: int, step: int = 60) -> None:
    """Let time pass, with the looks that a controller takes."""
    for _ in range(0, seconds, step):
        fleet.look(step)


def lose(fleet: Fleet, seconds: int) -> None:
    """The node is silent: it keeps its turn for about so many seconds, and then the other one has it.

    Raises:
        AssertionError: it does not.
    """
    pass_by(fleet, seconds - 60)
    assert fleet.turns == ["n1"]
    pass_by(fleet, 120)
    assert fleet.turns == ["n2"]
    assert fleet.problem("a", "n1") == "TurnLost"


@pytest.mark.parametrize("answer", [DONE, None])
@pytest.mark.parametrize("pods", ["as it is", "gone", "unknown"])
def test_a_node_that_dies_in_an_eviction_loses_its_turn(pods: str, answer: EvictionAnswer | None) -> None:
    fleet = evicting()
    fleet.answers = {"u-n1": answer} if answer else {}
    if pods == "gone":
        fleet.pods["n1"] = ()
    if pods == "unknown":
        del fleet.pods["n1"]
    lose(fleet, 900)


@pytest.mark.parametrize("grace", [0, 600, 3600])
def test_a_pod_that_does_not_end_after_its_grace_period_ends_the_turn(grace: int) -> None:
    fleet = evicting()
    fleet.answers = {"u-n1": DONE}
    fleet.pods["n1"] = ending(fleet, grace)
    lose(fleet, grace + 900)


def test_a_pod_that_ends_within_its_grace_period_gives_the_node_time_to_see_that() -> None:
    fleet = evicting()
    fleet.pods["n1"] = ending(fleet, 3600)
    pass_by(fleet, 3000)
    fleet.pods["n1"] = ()
    pass_by(fleet, 780)
    assert fleet.turns == ["n1"]
    pass_by(fleet, 180)
    assert fleet.turns == ["n2"]


def test_a_pod_with_an_endless_grace_period_ends_the_turn_after_eight_timeouts() -> None:
    fleet = evicting()
    fleet.pods["n1"] = ending(fleet, 10**8)
    lose(fleet, turns.MOST * 900)


def test_a_node_that_always_names_other_pods_loses_its_turn_after_eight_timeouts() -> None:
    fleet = evicting()
    for number in range(turns.MOST * 900 // 60 + 2):
        fleet.pods["n1"] = ending(fleet, 600)
        speaks(fleet)
        fleet.nodes["n1"]["status"]["plan"]["steps"] = number
        if fleet.look(60) and "n2" in fleet.turns:
            break
    assert "n1" not in fleet.turns


@pytest.mark.parametrize("answers", [[REFUSED], [LATER], [REFUSED, LATER], [LATER, LATER, REFUSED]])
def test_evictions_that_do_not_go_on_end_the_turn_after_ten_minutes(answers: list[EvictionAnswer]) -> None:
    fleet = evicting()
    for number in range(60):
        fleet.answers["u-n1"] = answers[number % len(answers)]
        fleet.look(10)
        assert fleet.turns == ["n1"]
        assert fleet.problem("a", "n1") == "EvictionBlocked"
    fleet.look(10)
    assert fleet.turns == []
    assert "gaveup=" in fleet.note("n1")


@pytest.mark.parametrize("look", ["no pods", "no answers"])
def test_a_look_that_tells_nothing_does_not_begin_the_ten_minutes_anew(look: str) -> None:
    """Of a list of pods that failed, or by a new controller."""
    fleet = evicting()
    pods, answers = fleet.pods["n1"], {"u-n1": REFUSED}
    for number in range(61):
        fleet.pods = {} if look == "no pods" and number % 7 == 6 else {"n1": pods}
        fleet.answers = {} if look == "no answers" and number % 7 == 6 else answers
        assert fleet.turns == ["n1"]
        fleet.look(10)
    fleet.look(10)
    assert fleet.turns == []


@pytest.mark.parametrize("looks", [1, 2, 30])
@pytest.mark.parametrize("pod", ["as it is", "ending"])
def test_a_list_of_pods_that_is_refused_for_a_while_does_not_end_a_turn_that_evicts(pod: str, looks: int) -> None:
    fleet = evicting()
    fleet.answers = {"u-n1": DONE}
    before = fleet.pods["n1"] if pod == "as it is" else ending(fleet, 30)
    for number in range(60):
        fleet.pods["n1"] = "403: pods is forbidden" if number < looks else before
        fleet.look(10)
        assert fleet.turns == ["n1"]
        assert (fleet.problem("a", "n1") == "EvictionBlocked") is (number < looks)


def test_a_list_of_pods_that_is_refused_on_and_on_ends_a_turn_that_evicts_after_ten_minutes() -> None:
    fleet = evicting()
    fleet.pods["n1"] = "403: pods is forbidden"
    pass_by(fleet, 600)
    assert fleet.turns == ["n1"]
    pass_by(fleet, 60)
    assert fleet.turns == []
    assert "gaveup=" in fleet.note("n1")


def test_an_eviction_that_is_allowed_after_a_while_leaves_the_node_its_time() -> None:
    fleet = evicting()
    fleet.answers["u-n1"] = REFUSED
    pass_by(fleet, 540)
    fleet.answers["u-n1"] = DONE
    fleet.look()
    pass_by(fleet, 840)
    assert fleet.turns == ["n1"]


@pytest.mark.parametrize("pods", ["as it is", "ending"])
def test_after_a_lost_turn_pods_use_the_node_again_before_it_has_another_one(pods: str) -> None:
    fleet = evicting()
    if pods == "ending":
        fleet.pods["n1"] = ending(fleet, 30)
    pass_by(fleet, 1020)
    spec: Any = fleet.nodes["n1"]["spec"]
    assert (spec["mayChange"], "evict" in spec) == (False, False)
    speaks(fleet)
    for _ in range(2):
        fleet.says("n2")
        fleet.look()
    assert fleet.problem("a", "n1") == "EvictionBlocked"
    pass_by(fleet, 360)
    assert fleet.turns == []
    pass_by(fleet, 240)
    assert fleet.turns == ["n1"]
