"""may_change: no policy has more than maxUnavailable of its nodes in a disruptive change."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtfn_operator.api.policy import MaxUnavailable
from virtfn_operator.controller.rollout import Turn, may_change, queue, rollouts_of

ONE = {"p": MaxUnavailable(amount=1)}


def turn(node: str, state: str, *policies: str) -> Turn:
    """`wants`, `changing` (has its turn), `done` (had it, and is settled), `idle`, `silent` (has it, says nothing)."""
    return Turn(
        node=node,
        policies=policies or ("p",),
        granted=state in ("changing", "done", "silent"),
        wants=state in ("wants", "changing"),
        settled=state in ("done", "idle"),
    )


def go(turns: list[Turn], limits: dict[str, MaxUnavailable]) -> list[str]:
    return [node for node, may in may_change(turns, limits).items() if may]


@pytest.mark.parametrize(
    ("amount", "percent", "nodes", "expected"),
    [(1, False, 9, 1), (3, False, 9, 3), (10, True, 9, 1), (10, True, 11, 2), (1, True, 1, 1), (100, True, 9, 9)],
)
def test_the_limit_is_rounded_up_and_at_least_one(amount: int, percent: bool, nodes: int, expected: int) -> None:
    assert MaxUnavailable(amount=amount, percent=percent).of(nodes) == expected


def test_one_after_the_other_by_name() -> None:
    assert go([turn("b", "wants"), turn("a", "wants"), turn("c", "idle")], ONE) == ["a"]


def test_who_has_its_turn_keeps_it_until_it_is_settled() -> None:
    assert go([turn("a", "wants"), turn("b", "changing")], ONE) == ["b"]
    assert go([turn("a", "wants"), turn("b", "silent")], ONE) == ["b"]
    assert go([turn("a", "wants"), turn("b", "done")], ONE) == []


def test_a_place_is_free_when_the_node_that_had_it_has_answered() -> None:
    assert go([turn("a", "wants"), replace(turn("b", "idle"), closing=True)], ONE) == []
    assert go([turn("a", "wants"), turn("b", "idle")], ONE) == ["a"]


def test_the_place_of_a_silent_node_is_free_when_it_is_written_that_it_lost_its_turn() -> None:
    assert go([turn("a", "wants"), replace(turn("b", "silent"), lost=True)], ONE) == []
    assert go([turn("a", "wants"), replace(turn("b", "silent"), granted=False)], ONE) == ["a"]


def test_one_that_yields_has_no_turn_and_its_place_is_not_free_yet() -> None:
    assert go([turn("a", "wants"), replace(turn("b", "changing"), yields=True)], ONE) == []


def test_one_that_is_barred_waits_and_those_after_it_go_first() -> None:
    turns = [replace(turn("a", "wants"), barred=True), turn("b", "wants"), turn("c", "wants")]
    answer = may_change(turns, ONE)
    assert [node for node, may in answer.items() if may] == ["b"]
    assert [one.node for one in queue(turns, answer)] == ["c"]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_failure_in_a_turn_stops_its_policy_and_no_other(limit: int) -> None:
    failed = replace(turn("a", "changing", "p"), failed=frozenset({"p"}))
    turns = [failed, turn("b", "wants", "p"), turn("c", "wants", "q"), turn("d", "wants", "p", "q")]
    assert go(turns, {"p": MaxUnavailable(amount=limit)}) == ["a", "c"]


def test_while_a_policy_is_paused_running_turns_go_on_and_none_begins() -> None:
    turns = [turn("a", "changing", "p"), turn("b", "wants", "p"), turn("c", "wants", "q"), turn("d", "done", "p")]
    limits = {"p": MaxUnavailable(amount=9)}
    assert [n for n, may in may_change(turns, limits, paused={"p"}).items() if may] == ["a", "c"]
    assert [n for n, may in may_change(turns, limits, paused=set()).items() if may] == ["a", "b", "c"]


def test_the_rollout_tells_who_has_a_turn_who_is_next_and_what_holds_it() -> None:
    turns = [turn("a", "changing"), replace(turn("c", "wants"), last=1), turn("d", "wants"), turn("e", "wants")]
    found = rollouts_of(turns, may_change(turns, ONE), {})["p"]
    assert (found.turns, found.waiting, found.places["c"]) == (("a",), ("d", "e", "c"), 3)
    assert (found.paused, found.stopped_by) == (False, "")
    failed = [replace(turns[0], failed=frozenset({"p"})), *turns[1:]]
    assert rollouts_of(failed, may_change(failed, ONE), {})["p"].stopped_by == "a"


def test_who_wants_nothing_gets_nothing() -> None:
    assert go([turn("a", "idle"), turn("b", "done")], ONE) == []


def test_a_percentage_counts_the_matching_nodes() -> None:
    turns = [turn(name, "wants") for name in "abcde"]
    assert go(turns, {"p": MaxUnavailable(amount=25, percent=True)}) == ["a", "b"]


def test_every_policy_of_a_node_must_have_room() -> None:
    turns = [turn("a", "changing", "p"), turn("b", "wants", "p", "q"), turn("c", "wants", "q")]
    assert go(turns, {}) == ["a", "c"]


def test_a_node_that_no_policy_claims_waits_for_nobody() -> None:
    free = [Turn(node=name, policies=(), granted=False, wants=True, settled=False) for name in "ab"]
    assert go([*free, turn("c", "changing")], ONE) == ["a", "b", "c"]


TURNS = st.lists(
    st.builds(
        turn,
        st.text("abcdefgh", min_size=1, max_size=2),
        st.sampled_from(["wants", "changing", "done", "idle", "silent"]),
        st.sampled_from("pq"),
    ),
    unique_by=lambda t: t.node,
    max_size=12,
)


@given(TURNS, st.integers(1, 4))
def test_the_limit_holds_and_no_turn_is_taken_away(turns: list[Turn], amount: int) -> None:
    limits = {"p": MaxUnavailable(amount=amount), "q": MaxUnavailable(amount=1)}
    answer = may_change(turns, limits)
    for policy, limit in (("p", amount), ("q", 1)):
        mine = [t for t in turns if policy in t.policies]
        holding = [t for t in mine if t.granted and not t.settled]
        assert all(answer[t.node] for t in holding)
        assert sum(answer[t.node] for t in mine) <= max(limit, len(holding))
    assert answer == may_change(list(reversed(turns)), limits)


@given(TURNS)
def test_every_node_that_wants_has_its_turn_in_the_end(turns: list[Turn]) -> None:
    waiting = {t.node for t in turns if t.wants}
    for _ in range(2 * len(turns) + 1):
        answer = may_change(turns, {})
        turns = [
            Turn(node=t.node, policies=t.policies, granted=answer[t.node], wants=False, settled=True)
            if answer[t.node]
            else Turn(node=t.node, policies=t.policies, granted=False, wants=t.wants, settled=not t.wants)
            for t in turns
        ]
        waiting -= {node for node, may in answer.items() if may}
    assert waiting == set()
