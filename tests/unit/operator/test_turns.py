"""A node that is silent in its turn loses it, visibly, and gets one again when it has spoken. Times are our own."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from virtfn_operator.controller import turns
from virtfn_operator.controller.decide import Rules, World, decide
from virtfn_operator.controller.timekeeper import Timekeeper

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
RULES = Rules(turn_timeout=900)
SPEC = {"devices": [{"vendor": "8086"}], "virtualFunctions": {"count": 4, "pools": [{"resourceName": "fast"}]}}


class Cluster:
    """Nodes that want a disruptive change for one policy, an API server that merges, and a clock."""

    def __init__(self, *names: str) -> None:
        metadata = {"name": "fast", "uid": "u", "generation": 1}
        self.policies: dict[str, Any] = {"fast": {"metadata": metadata, "spec": SPEC}}
        self.nodes: dict[str, Any] = {name: {"metadata": {"name": name, "generation": 1}} for name in names}
        self.now = BEGIN
        self.look()
        for name in names:
            self.says(name, disruptive=True)

    def look(self, *, jumped: bool = False) -> list[str]:
        """One reconcile, and another one where a turn ended and its node answers that or is silent; who may change."""
        before = self.holding()
        self.reconcile(jumped=jumped)
        if ended := [name for name in before if name not in self.holding()]:
            for name in filter(self.settled, ended):
                self.nodes[name]["status"]["observedGeneration"] = self.nodes[name]["metadata"]["generation"]
            self.reconcile(jumped=False)
        return self.holding()

    def holding(self) -> list[str]:
        return [name for name, body in self.nodes.items() if body.get("spec", {}).get("mayChange")]

    def settled(self, name: str) -> bool:
        status = self.nodes[name].get("status")
        return isinstance(status, dict) and "plan" not in status

    def reconcile(self, *, jumped: bool) -> None:
        labels = [{"metadata": {"name": name}} for name in self.nodes]
        world = World(policies=list(self.policies.values()), states=list(self.nodes.values()), nodes=labels)
        for write in decide(world, self.now.strftime("%Y-%m-%dT%H:%M:%SZ"), RULES, jumped=jumped).writes:
            objects = self.policies if write.plural == "sriovpolicies" else self.nodes
            body = objects[write.name] = merged(objects[write.name], write.patch)
            if "spec" in write.patch:
                body["metadata"]["generation"] += 1

    def later(self, seconds: float, *, jumped: bool = False) -> list[str]:
        self.now += timedelta(seconds=seconds)
        return self.look(jumped=jumped)

    def says(self, name: str, state: str = "Changing", *, disruptive: bool, steps: int = 9) -> None:
        body = self.nodes[name]
        plan = {"plan": {"disruptive": True, "steps": steps}} if disruptive else {}
        reason = "Converged" if state == "Ready" else state
        outcome = {"name": "fast", "uid": "u", "generation": 1, "state": state, "reason": reason, "message": ""}
        observed = body["metadata"]["generation"]
        self.nodes[name] = {**body, "status": {"observedGeneration": observed, "policies": [outcome], **plan}}

    def note(self, name: str) -> str:
        text: str = self.nodes[name]["metadata"]["annotations"][turns.ANNOTATION]
        return text

    def problems(self) -> list[tuple[str, str]]:
        return [(it["node"], it["reason"]) for it in self.policies["fast"]["status"].get("problems", ())]


def merged(body: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    whole = {**(body or {}), **{key: merged((body or {}).get(key), value) for key, value in patch.items()}}
    return {key: value for key, value in whole.items() if value is not None}


def test_a_node_that_never_answers_loses_its_turn_visibly_and_the_next_goes_on() -> None:
    cluster = Cluster("a", "b")
    assert cluster.look() == ["a"]
    assert cluster.later(899) == ["a"]
    assert cluster.problems() == []
    assert cluster.later(1) == ["b"]
    assert ("a", "TurnLost") in cluster.problems()
    assert "lost=2026-01-01T00:15:00Z" in cluster.nodes["a"]["metadata"]["annotations"][turns.ANNOTATION]
    ready = next(c for c in cluster.policies["fast"]["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "TurnLost")


def test_a_node_that_saw_its_turn_and_then_says_nothing_new_loses_it_too() -> None:
    cluster = Cluster("a", "b")
    cluster.look()
    cluster.later(100)
    cluster.says("a", disruptive=True)
    assert cluster.later(10) == ["a"]
    assert cluster.later(899) == ["a"]
    assert cluster.later(2) == ["b"]


def test_one_that_tells_of_progress_keeps_it_and_one_that_has_ended_is_not_reproached_with_it() -> None:
    cluster = Cluster("a", "b")
    cluster.look()
    for steps in range(8, 3, -1):
        cluster.says("a", disruptive=True, steps=steps)
        assert cluster.later(800) == ["a"]
    cluster.says("a", "Ready", disruptive=False)
    assert cluster.later(1) == ["b"]
    assert " lost=" not in cluster.note("a")


def test_one_that_says_that_it_failed_keeps_it_however_long_and_is_named() -> None:
    cluster = Cluster("a", "b")
    cluster.look()
    cluster.says("a", "Failed", disruptive=True)
    assert [cluster.later(86400) for _ in range(3)] == [["a"]] * 3
    assert "TurnLost" not in [reason for _, reason in cluster.problems()]
    assert cluster.policies["fast"]["status"]["rollout"]["stoppedBy"] == "a"


@pytest.mark.parametrize("state", ["Changing", "Ready"])
def test_one_that_says_nothing_new_loses_it_whatever_it_said(state: str) -> None:
    cluster = Cluster("a", "b")
    cluster.look()
    cluster.says("a", state, disruptive=True)
    assert cluster.later(10) == ["a"]
    assert cluster.later(899) == ["a"]
    assert cluster.later(2) == ["b"]
    assert ("a", "TurnLost") in cluster.problems()


def test_one_that_waits_for_a_holder_loses_it_after_eight_timeouts() -> None:
    cluster = Cluster("a", "b")
    cluster.look()
    cluster.says("a", "Blocked", disruptive=True)
    assert cluster.later(10) == ["a"]
    assert cluster.later(8 * 900 - 20) == ["a"]
    assert cluster.later(20) == ["b"]
    assert ("a", "TurnLost") in cluster.problems()


def test_one_that_always_says_something_new_loses_it_after_eight_timeouts() -> None:
    cluster = Cluster("a", "b")
    cluster.look()
    held = 0
    for steps in range(1000):
        cluster.says("a", disruptive=True, steps=steps)
        if "b" in cluster.later(60):
            break
        held += 60
    assert held <= turns.MOST * 900


def test_one_that_lost_it_has_another_only_when_it_has_spoken_and_after_the_others() -> None:
    cluster = Cluster("a", "b", "c")
    cluster.look()
    cluster.later(900)
    assert cluster.look() == ["b"]
    assert cluster.later(60) == ["b"]
    cluster.says("a", disruptive=True)
    assert cluster.look() == ["b"]
    assert "TurnLost" not in [reason for _, reason in cluster.problems()]
    cluster.says("b", "Ready", disruptive=False)
    assert cluster.look() == ["c"]
    cluster.says("c", "Ready", disruptive=False)
    assert cluster.look() == ["a"]
    cluster.says("a", "Ready", disruptive=False)
    assert cluster.look() == []
    assert not any(" lost=" in cluster.note(name) for name in "abc")


@pytest.mark.parametrize("held", [0, 60, turns.MOST * 900 - 60, turns.MOST * 900], ids=lambda held: f"{held} s")
@pytest.mark.parametrize("liar", ["a", "c", "e"])
def test_one_that_asks_again_at_once_has_no_more_turns_than_the_others(liar: str, held: int) -> None:
    """Everybody always wants more; one of them holds its turn as long as it may, and asks again when it has ended."""
    cluster, order = Cluster(*"abcde"), []
    for _ in range(4 * 5):
        (now,) = cluster.look()
        order.append(now)
        for second in range(0, held if now == liar else 60, 60):
            cluster.says(now, disruptive=True, steps=second)
            cluster.later(60)
        cluster.says(now, "Ready", disruptive=False)
        following = cluster.look()
        cluster.says(now, disruptive=True)
        assert cluster.look() == following
    assert order == list("abcde") * 4


def test_who_had_a_turn_goes_after_those_that_never_had_one_also_when_the_clock_was_set_back() -> None:
    cluster = Cluster(*"ab")
    cluster.says("b", "Ready", disruptive=False)
    assert cluster.look() == ["a"]
    cluster.says("a", "Ready", disruptive=False)
    cluster.says("b", disruptive=True)
    assert cluster.later(60) == ["b"]
    cluster.says("a", disruptive=True)
    cluster.says("b", "Ready", disruptive=False)
    assert cluster.later(-86400) == ["a"]
    cluster.says("a", "Ready", disruptive=False)
    assert cluster.look() == []
    for name in "ab":
        cluster.says(name, disruptive=True)
    assert cluster.look() == ["b"]


def test_a_turn_costs_two_writes_of_its_node_and_its_note_does_not_grow() -> None:
    cluster = Cluster("a")
    cluster.look()
    lengths = set()
    for _ in range(20):
        before = cluster.nodes["a"]["metadata"]["generation"]
        cluster.says("a", "Ready", disruptive=False)
        assert cluster.later(1) == []
        cluster.says("a", disruptive=True)
        assert cluster.later(1) == ["a"]
        assert cluster.later(1) == ["a"]
        assert cluster.nodes["a"]["metadata"]["generation"] == before + 2
        lengths.add(len(cluster.note("a")))
    assert len(lengths) == 1


FORGED = "granted=2026-01-01T00:00:00Z heard=2026-01-01T00:00:00Z word=0 "


@pytest.mark.parametrize("note", ["ended=0", "ended=1", "ended=999999999999999", "ended=9999999999999999", "ended=-1"])
def test_a_forged_number_keeps_nobody_from_a_turn_and_can_be_read_back(note: str) -> None:
    cluster = Cluster("a", "b", "c")
    cluster.nodes["b"]["metadata"]["annotations"] = {turns.ANNOTATION: FORGED + note}
    had = []
    for _ in range(3):
        (now,) = cluster.look()
        had.append(now)
        cluster.says(now, "Ready", disruptive=False)
        cluster.look()
        assert (read := turns.read_note(cluster.nodes[now])) is not None
        assert str(read) == cluster.note(now)
    assert sorted(had) == ["a", "b", "c"]


def test_a_clock_that_was_set_back_takes_no_turn_and_gives_none_for_ever() -> None:
    cluster = Cluster("a", "b")
    cluster.look()
    assert cluster.later(-3600) == ["a"]
    assert cluster.later(899) == ["a"]
    cluster.later(1)
    assert cluster.look() == ["b"]


def test_a_clock_that_was_set_forward_takes_no_turn() -> None:
    cluster = Cluster("a", "b")
    cluster.look()
    assert cluster.later(3600, jumped=True) == ["a"]
    assert cluster.later(899) == ["a"]
    cluster.later(1)
    assert cluster.look() == ["b"]


@pytest.mark.parametrize(
    "note", ["", "x", 7, "granted=x heard=y word=0", "granted=9999-99-99 heard=y word=0", "a" * 9999]
)
def test_a_note_that_is_none_is_a_turn_that_begins_now(note: Any) -> None:
    cluster = Cluster("a", "b")
    cluster.look()
    cluster.nodes["a"]["metadata"]["annotations"] = {turns.ANNOTATION: note}
    assert cluster.later(800) == ["a"]
    assert cluster.later(800) == ["a"]
    cluster.later(101)
    assert cluster.look() == ["b"]


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_note_whose_time_no_clock_can_show_stops_no_other_node(time: str) -> None:
    cluster = Cluster("a", "b")
    cluster.look()
    cluster.nodes["a"]["metadata"]["annotations"] = {turns.ANNOTATION: f"granted={time} heard={time} word=0"}
    assert cluster.later(800) == ["a"]
    assert cluster.later(901) == ["b"]


@pytest.mark.parametrize("status", [7, [], {"policies": {}}, {"plan": []}, {"plan": {"disruptive": "no"}}])
def test_a_status_that_cannot_be_read_is_no_end_of_a_turn_and_no_progress(status: Any) -> None:
    cluster = Cluster("a", "b")
    cluster.look()
    cluster.nodes["a"]["status"] = status
    assert cluster.later(10) == ["a"]
    assert ("a", "Unreadable") in cluster.problems()
    assert cluster.policies["fast"]["status"]["nodes"]["changing"] == 2
    cluster.later(900)
    assert cluster.look() == ["b"]


def test_the_timekeeper_tells_a_clock_that_was_set_from_time_that_passed() -> None:
    wall, steady = 1_000_000.0, 50.0
    keeper = Timekeeper(lambda: wall, lambda: steady)
    wall, steady = wall + 7200, steady + 7190
    assert keeper.read() == ("1970-01-12T15:46:40Z", False)
    for step in (3600, -3600):
        wall += step
        assert keeper.read()[1]
        assert not keeper.read()[1]
