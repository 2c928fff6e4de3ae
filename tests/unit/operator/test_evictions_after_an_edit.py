"""Pods are evicted only for what a node is still asked: an edit reaches its agent first, which looks again."""

from collections.abc import Callable

import pytest
from fleet_of_policies import Fleet

EVICT = {"whenInUse": "Evict"}


def evicting(labels: str = "ab") -> Fleet:
    """Return a fleet whose first node is about to have its pod evicted for `a`."""
    fleet = Fleet({"n1": labels, "n2": "a"}, a=EVICT, b=EVICT)
    fleet.edit("a")
    fleet.look()
    for _ in range(2):  # in its turn, and after it was asked once more
        for node in fleet.nodes:
            fleet.says(node, disruptive=True, pods=True, a="Changing")
        fleet.look()
    fleet.says("n1", disruptive=True, pods=True, a="Changing")
    return fleet


def to_wait(fleet: Fleet) -> None:
    fleet.policies["a"]["spec"]["disruption"] = {"whenInUse": "Wait"}
    fleet.edit("a")


def another_count(fleet: Fleet) -> None:
    fleet.policies["a"]["spec"]["virtualFunctions"]["count"] = 9
    fleet.edit("a")


def other_policy(fleet: Fleet) -> None:
    fleet.edit("b")


def deleted(fleet: Fleet) -> None:
    del fleet.policies["a"]


def another_label(fleet: Fleet) -> None:
    fleet.labels["n1"] = {"b": ""}


EDITS = [to_wait, another_count, other_policy, deleted, another_label]


def pods(fleet: Fleet, *, written: bool = True) -> list[str]:
    """The pods that are evicted by the next look."""
    before = dict(fleet.nodes)
    decision = fleet.look(10)
    if not written:
        fleet.nodes = before
    return [eviction.pod.name for eviction in decision.evictions]


def test_without_an_edit_they_are() -> None:
    assert pods(evicting()) == ["n1-pod"]


@pytest.mark.parametrize("edit", EDITS)
def test_what_has_just_ended_evicts_none(edit: Callable[[Fleet], None]) -> None:
    fleet = evicting()
    edit(fleet)
    assert pods(fleet) == []
    assert pods(fleet) == []  # its agent has not answered yet


@pytest.mark.parametrize("edit", EDITS)
def test_nor_while_the_new_spec_cannot_be_written(edit: Callable[[Fleet], None]) -> None:
    fleet = evicting()
    edit(fleet)
    assert [pods(fleet, written=False) for _ in range(5)] == [[]] * 5


@pytest.mark.parametrize("edit", [another_count, other_policy])
def test_an_edit_that_needs_the_same_functions_goes_on_when_its_agent_has_answered(
    edit: Callable[[Fleet], None],
) -> None:
    fleet = evicting()
    edit(fleet)
    assert pods(fleet) == []
    fleet.says("n1", disruptive=True, pods=True, a="Changing")
    assert pods(fleet) == ["n1-pod"]


def test_one_policy_alone_is_no_other_case() -> None:
    fleet = evicting("a")
    another_count(fleet)
    assert pods(fleet) == []
