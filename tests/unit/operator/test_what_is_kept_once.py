"""What the controller keeps once for all objects is bounded in size, however one object changes."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from virtfn_operator.controller.picture import ObjectKind, Picture
from virtfn_operator.controller.see import MOST_CHARACTERS, Once, SeenState, see_state
from virtfn_operator.controller.tainted import POOLS_LIMIT

Body = dict[str, Any]


def long(n: int, size: int = 2048) -> str:
    """A text for which Python takes four bytes a character, because of the first one; as a message the longest."""
    return f"\U0001f600{n}".ljust(size, "x")


MOST_BYTES = 8 * MOST_CHARACTERS
"""Text, at most four bytes a character, and what Python needs for lists and objects of it."""


def pools(n: int) -> Body:
    return {"pools": [{"resourceName": f"a.b/{n}-{i}-{'x' * 290}", "healthy": i} for i in range(POOLS_LIMIT)]}


def an_endless_name(n: int) -> Body:
    return {"pools": [{"resourceName": f"{n}" + "x" * 700_000, "healthy": 1}]}


def a_name_that_is_an_object(n: int) -> Body:
    return {"pools": [{"resourceName": {"x": f"{n}" + "x" * 700_000}, "healthy": 1}]}


def rejections(n: int) -> Body:
    return {"rejected": [{"policy": f"p{n}-{i}", "reason": "Unreadable", "message": long(n)} for i in range(64)]}


def outcomes(n: int) -> Body:
    return {
        "policies": [{"name": f"p{i}", "uid": f"{n}-{i}", "reason": "Stuck", "message": long(n)} for i in range(256)]
    }


def node(number: int, status: Body | None = None, policies: list[Body] | None = None) -> Body:
    metadata = {"name": "a", "uid": "u", "generation": 1, "resourceVersion": str(number)}
    return {"metadata": metadata, "spec": {"policies": policies or []}, "status": status or {}}


def kept_of(events: int, body: Callable[[int], Body]) -> int:
    """Return the bytes that the picture holds after these events of one SriovNode."""
    states = Picture().objects[ObjectKind.STATE]
    tracemalloc.start()
    try:
        for number in range(1, events + 1):
            states.tell("MODIFIED", body(number))
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("events", "status"),
    [(50, pools), (50, an_endless_name), (50, a_name_that_is_an_object), (150, rejections), (50, outcomes)],
)
def test_statuses_of_one_node_do_not_pile_up(events: int, status: Callable[[int], Body]) -> None:
    assert kept_of(events, lambda number: node(number, status(number))) < MOST_BYTES


@pytest.mark.parametrize("size", [64_000, 500_000])
def test_edits_of_one_policy_do_not_pile_up(size: int) -> None:
    assert kept_of(150, lambda number: node(number, policies=[{"uid": "u", "x": long(number, size)}])) < MOST_BYTES


def test_what_is_equal_on_many_nodes_is_kept_once_also_after_all_was_forgotten() -> None:
    shared = Once()
    policies, status = [{"uid": "u", "devices": "x" * 60_000}], pools(0) | rejections(0)
    for number in range(100):
        see_state(node(number, pools(number)), shared)
        assert shared.characters <= MOST_CHARACTERS
    one, other = (see_state(node(1, {**status}, [{**it} for it in policies]), shared) for _ in range(2))
    assert one == other
    assert one.body["spec"]["policies"][0] is other.body["spec"]["policies"][0]
    assert one.body["status"]["pools"] is other.body["status"]["pools"]
    assert one.state.rejected is other.state.rejected


@pytest.mark.parametrize("name", [None, 3, ["a.b/c"], {"a.b/c": 1}])
def test_a_pool_whose_name_is_no_text_is_kept_without_it(name: object) -> None:
    seen: SeenState = see_state(node(1, {"pools": [{"resourceName": name, "healthy": 2}]}), Once())
    assert seen.body["status"]["pools"] == [{"resourceName": None, "healthy": 2}]
