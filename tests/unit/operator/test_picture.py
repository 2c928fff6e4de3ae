"""What the picture takes over of lists, events and answers: an object only ever gets newer, and nothing is missed."""

from typing import Any

import pytest

from virtfn_operator.controller.known import REMEMBERED_DELETIONS, Comparison, Listing, OneKind
from virtfn_operator.controller.see import Once, SeenState, see_state

Body = dict[str, Any]


def state(version: int, name: str = "a", **more: Any) -> Body:
    return {"metadata": {"name": name, "resourceVersion": str(version), "generation": version}, **more}


def kind(*bodies: Body, at: int = 0) -> OneKind:
    shared = Once()
    objects = OneKind(lambda body: see_state(body, shared))
    listed(objects, *bodies, at=at or max([int(b["metadata"]["resourceVersion"]) for b in bodies], default=1))
    objects.changed.clear()
    return objects


def listed(objects: OneKind, *bodies: Body, at: int) -> tuple[str, ...]:
    listing = Listing(objects)
    listing.page(bodies)
    return listing.end(str(at))


def generation(objects: OneKind, name: str = "a") -> int | None:
    known = objects.known.get(name)
    return known.seen.state.generation if known and isinstance(known.seen, SeenState) else None


# --- events and answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("event", "body"), [("MODIFIED", state(4)), ("ADDED", state(1)), ("DELETED", state(3))])
def test_an_event_that_is_late_undoes_nothing(event: str, body: Body) -> None:
    objects = kind(state(2))
    assert objects.answer(state(5))
    assert not objects.tell(event, body)
    assert generation(objects) == 5


@pytest.mark.parametrize("version", [7, 8, 100])
def test_a_later_event_counts(version: int) -> None:
    objects = kind(state(2))
    assert objects.tell("MODIFIED", state(version))
    assert generation(objects) == version
    assert objects.tell("DELETED", state(version + 1))
    assert generation(objects) is None


@pytest.mark.parametrize("late", [5, 6])
def test_an_answer_that_comes_after_the_deletion_brings_no_object_back(late: int) -> None:
    objects = kind(state(2))
    objects.tell("DELETED", state(7))
    assert not objects.answer(state(late))
    assert generation(objects) is None
    assert objects.tell("ADDED", state(8))


def test_deletions_are_remembered_up_to_a_bound() -> None:
    objects = kind(at=1)
    for number in range(REMEMBERED_DELETIONS + 10):
        objects.tell("DELETED", state(number + 2, f"n{number}"))
    assert len(objects.gone) == REMEMBERED_DELETIONS


@pytest.mark.parametrize("status", [{"functions": [{"numVfs": 4}]}, {"kernel": "6.1"}, {"summary": {"pfs": 3}}])
def test_what_is_not_decided_from_is_not_kept_and_no_change(status: Body) -> None:
    body = {"metadata": {"name": "a", "resourceVersion": "2", "generation": 2}}
    objects = kind(body)
    newer = {**body, "metadata": {**body["metadata"], "resourceVersion": "3"}, "status": status}
    assert not objects.tell("MODIFIED", newer)
    seen = objects.known["a"].seen
    assert seen is not None
    assert seen.version == "3"
    assert str(next(iter(status.values()))) not in repr(seen)


def test_a_bookmark_says_how_far_the_watch_is() -> None:
    objects = kind(state(2))
    assert not objects.tell("BOOKMARK", {"metadata": {"resourceVersion": "90"}})
    assert objects.newest == 90


# --- promises --------------------------------------------------------------------------------------------------------


def promised(objects: OneKind) -> bool:
    seen = objects.known["a"].seen
    return isinstance(seen, SeenState) and seen.promised


def test_a_grant_without_an_answer_counts_until_another_version_is_known() -> None:
    for again in (
        lambda o: o.tell("MODIFIED", state(3)),
        lambda o: o.answer(state(3)),
        lambda o: listed(o, state(3), at=9),
    ):
        objects = kind(state(2))
        objects.promise("a")
        assert promised(objects)
        assert not objects.tell("MODIFIED", state(2))  # the same version: the grant may still arrive
        listed(objects, state(2), at=5)
        assert promised(objects)
        again(objects)
        assert not promised(objects)


# --- lists -----------------------------------------------------------------------------------------------------------


def test_a_list_finds_what_the_watch_missed() -> None:
    objects = kind(state(1, "gone"), state(2, "changed"), state(3, "same"))
    assert listed(objects, state(7, "changed"), state(3, "same"), state(6, "new"), at=8) == ("changed", "gone", "new")
    assert set(objects.known) == {"changed", "same", "new"}
    assert objects.newest == 8


def test_a_list_undoes_nothing_that_was_told_after_it_was_made() -> None:
    objects = kind(state(1, "changed"), state(2, "gone"))
    listing = Listing(objects)
    listing.page([state(1, "changed"), state(2, "gone")])
    objects.answer(state(9, "changed"))
    objects.tell("DELETED", state(10, "gone"))
    objects.tell("ADDED", state(11, "new"))
    assert listing.end("8") == ()
    assert set(objects.known) == {"changed", "new"}
    assert generation(objects, "changed") == 9


def test_a_store_that_was_restored_counts_although_it_is_older() -> None:
    objects = kind(state(50), state(60, "later"), at=70)
    assert listed(objects, state(20), at=40) == ("a", "later")
    assert generation(objects) == 20
    assert objects.newest == 40
    assert objects.tell("MODIFIED", state(41))


def test_versions_that_are_no_numbers_are_taken_as_they_come() -> None:
    def odd(version: str, number: int) -> Body:
        return {"metadata": {"name": "a", "resourceVersion": version, "generation": number}}

    objects = kind(at=1)
    for number, version in enumerate(["x9", "", "-3", "9" * 30], start=1):
        assert objects.tell("MODIFIED", odd(version, number))
        assert generation(objects) == number


# --- checks ----------------------------------------------------------------------------------------------------------


def missed(objects: OneKind, *bodies: Body, at: int) -> tuple[str, ...]:
    check = Comparison(objects)
    check.page(bodies)
    return check.missed(str(at))


def test_a_check_finds_nothing_where_the_watch_told_all_or_more() -> None:
    objects = kind(state(1), state(2, "b"))
    assert missed(objects, state(1), state(2, "b"), at=9) == ()
    check = Comparison(objects)
    objects.tell("MODIFIED", state(12))
    objects.tell("DELETED", state(13, "b"))
    objects.tell("ADDED", state(14, "c"))
    check.page((state(1), state(2, "b")))
    assert check.missed("9") == ()


@pytest.mark.parametrize(
    ("bodies", "names"),
    [
        ((state(1),), ("b",)),  # a deletion
        ((state(5), state(2, "b")), ("a",)),  # an edit
        ((state(1), state(2, "b"), state(3, "c")), ("c",)),  # a new object
        ((), ("a", "b")),
    ],
)
def test_a_check_finds_what_was_missed(bodies: tuple[Body, ...], names: tuple[str, ...]) -> None:
    assert missed(kind(state(1), state(2, "b")), *bodies, at=9) == names


def test_a_list_tells_of_a_new_version_although_nothing_else_has_changed() -> None:
    """Turns are granted for a version: with an old one they would be refused for ever."""
    body = {"metadata": {"name": "a", "generation": 1, "resourceVersion": "2"}}
    objects = kind(body)
    listed(objects, {"metadata": {**body["metadata"], "resourceVersion": "5"}}, at=6)
    seen = objects.known["a"].seen
    assert seen is not None
    assert seen.version == "5"
    assert "a" in objects.changed
