"""A controller reads the note on a turn that a newer version wrote, as after a rollback: it keeps what it knows."""

from datetime import UTC, datetime

import pytest
from fleet_of_policies import Fleet, edited

from virtfn_operator.controller import turns
from virtfn_operator.controller.turns import ANNOTATION, Note, read_note

AT = datetime(2026, 1, 1, tzinfo=UTC)
LEAST = Note(granted=AT, heard=AT, word="e825dc7131d5acb3")
MOST = Note(
    granted=AT,
    heard=AT,
    word="e825dc7131d5acb3",
    lost=AT,
    number=7,
    closes=9,
    failed=frozenset({"0123abcd", "ffffffff"}),
    refused=AT,
    gave_up=AT,
    times=3,
)
NEWER = ["later=1", "since=2026-01-01T00:00:00Z", "a=b=c", "marks=0.1.2 ends=x", "timesmore=1", "long=" + "x" * 100]


@pytest.mark.parametrize("note", [LEAST, MOST], ids=["least", "most"])
@pytest.mark.parametrize("more", NEWER)
def test_known_fields_are_read_and_others_ignored(note: Note, more: str) -> None:
    assert read_note({"metadata": {"annotations": {ANNOTATION: f"{note} {more}"}}}) == note


def noted(fleet: Fleet, node: str, more: str) -> None:
    """A newer controller has written this note."""
    fleet.nodes[node]["metadata"]["annotations"][turns.ANNOTATION] += f" {more}"


@pytest.mark.parametrize("more", NEWER)
def test_a_rollout_that_stopped_at_a_failure_stays_so(more: str) -> None:
    fleet = Fleet({"n1": "ab", "n2": "a", "n3": "b", "n4": "b"})
    edited(fleet, "a", b="Failed")
    fleet.says("n1", disruptive=True, a="Changing", b="Failed")
    fleet.look()
    for _ in range(2):
        fleet.says("n1", b="Failed")
        fleet.look()
    for _ in range(2):
        fleet.says("n2")
        fleet.look()
    assert "failed=" in fleet.note("n1")
    noted(fleet, "n1", more)
    for node in ("n3", "n4"):
        fleet.says(node, disruptive=True, b="Changing")
    fleet.says("n1", b="Changing")  # it tries again
    for _ in range(3):
        fleet.look(10)
        assert fleet.turns == []
    assert fleet.rollout("b")["stoppedBy"] == "n1"


@pytest.mark.parametrize("more", NEWER)
def test_a_node_that_rests_does_so_to_the_end(more: str) -> None:
    fleet = Fleet({"n1": "a"}, a={"whenInUse": "Evict"})
    edited(fleet, "a")
    fleet.pods["n1"] = "403: pods is forbidden"
    fleet.says("n1", disruptive=True, pods=True, a="Changing")
    fleet.look()
    assert "gaveup=" in fleet.note("n1")
    noted(fleet, "n1", more)
    fleet.says("n1", disruptive=True, pods=True, a="Changing")
    fleet.look(590)
    assert fleet.turns == []
    fleet.look(20)
    assert fleet.turns == ["n1"]
