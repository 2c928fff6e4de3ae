"""Conditions keep when they last changed; only a change of status or reason is one."""

import pytest

from virtfn_host.core.values.reasons import Reason
from virtfn_operator.api.conditions import Condition, Transition, find, read_conditions, transitions, upsert
from virtfn_operator.api.node_status import wire
from virtfn_operator.api.patch import merge_patch


def condition(status: str = "True", reason: str = "Converged", message: str = "", kind: str = "Ready") -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message, observed_generation=1)


def test_the_time_moves_with_the_status_only() -> None:
    first = upsert((), condition(), "t1")
    same = upsert(first, condition(reason="Drifted", message="new"), "t2")
    assert (same[0].reason, same[0].message, same[0].last_transition_time) == ("Drifted", "new", "t1")
    assert upsert(same, condition("False"), "t3")[0].last_transition_time == "t3"


def test_the_order_of_conditions_stays() -> None:
    two = upsert(upsert((), condition(), "t"), condition(kind="Preflight"), "t")
    assert [c.type for c in upsert(two, condition("False"), "t")] == ["Ready", "Preflight"]


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ([], [condition()], True),
        ([condition()], [condition()], False),
        ([condition(message="a")], [condition(message="b")], False),
        ([condition()], [condition(reason="Drifted")], True),
        ([condition()], [condition("False")], True),
        ([condition()], [], False),
    ],
)
def test_transitions(old: list[Condition], new: list[Condition], changed: bool) -> None:
    expected = (Transition(old=old[0] if old else None, new=new[0]),) if changed else ()
    assert transitions(old, new) == expected


def test_what_is_on_its_way_is_no_warning() -> None:
    calm = {reason for reason in Reason if not condition(reason=reason).warning}
    assert calm == {"Converged", "Changing", "WaitingForTurn", "Evicting", "Reconfiguring"}


def test_the_wire_is_read_back() -> None:
    conditions = upsert((), condition(message="text"), "2026-01-01T00:00:00Z")
    assert wire(conditions) == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Converged",
            "message": "text",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ]
    assert read_conditions({"conditions": wire(conditions)}) == conditions
    assert find(read_conditions({"conditions": [{}, 7]}), "Ready") is None


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2, "b": 3}, {"a": 2, "b": 3}),
        ({"a": 1}, {}, {"a": None}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "y": 3}}, {"a": {"y": 3}}),
        ({"a": {"x": 1}}, {"a": {}}, {"a": {"x": None}}),
        ({"a": [1, 2]}, {"a": [1]}, {"a": [1]}),
        ({}, {"a": {}}, {"a": {}}),
    ],
)
def test_merge_patch(old: dict[str, object], new: dict[str, object], patch: dict[str, object]) -> None:
    assert merge_patch(old, new) == patch
