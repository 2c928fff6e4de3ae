"""Decides which nodes may carry out a disruptive plan now: at most `maxUnavailable` nodes of a policy. Pure.

A node asks for a turn by reporting a disruptive plan, and keeps it until it reports that nothing disruptive is left.
The next node gets its place when it has answered that its turn has ended: until then it may change. If a policy fails
on a node in its turn, no other node of that policy gets one, so that a change that breaks nodes stops by itself
(`onFailure: Stop`). The node keeps its turn if all of its policies failed so; otherwise its turn ends when nothing is
changing there, because nodes of its other policies wait. A node that reports nothing loses its turn after a time
(`turns.py`), so that one dead machine does not stop the rollout. The node with the most recent turn waits for all
others, so that a node that asks again at once gets no more turns than they do.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

from virtfn_operator.api.policy import MaxUnavailable, Policy
from virtfn_operator.controller.remembered import NOTHING, Remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What taking turns needs to know of one node."""

    node: str
    policies: tuple[str, ...]
    """The policies that it is asked to carry out; each has its own limit."""
    granted: bool
    """Whether its spec says that it may change."""
    wants: bool
    """Whether it reports a disruptive plan for what it is asked now."""
    settled: bool
    """Whether its status answers its present spec and has nothing disruptive left."""
    lost: bool = False
    """Whether its turn ends now because it was silent for too long."""
    last: int = 0
    """The number of its last turn among all turns that ended; 0 for none. The node with the smallest goes first."""
    unknown: bool = False
    """Whether it is unknown what it was granted: it gets no turn, and counts as a node that changes."""
    closing: bool = False
    """Whether its turn was taken back and it has not answered that yet: it counts as a node that changes."""
    yields: bool = False
    """Whether its turn ends now although there is work left."""
    barred: bool = False
    """Whether it gets no turn at the moment: it is cordoned, or rests after a turn that could not be used."""
    failed: frozenset[str] = frozenset()
    """Policies that failed there in a turn and stop then, also after it: no other node of theirs gets a turn."""
    pending: frozenset[str] = frozenset()
    """Of a node where one failed: the policies that are not carried out there yet."""
    brings: frozenset[str] = frozenset()
    """Policies that are new or edited in what is to be written to a node that has its turn."""


def may_change(
    turns: Iterable[Turn],
    limits: Mapping[str, MaxUnavailable],
    paused: Set[str] = frozenset(),
    told: Remembered = NOTHING,
) -> dict[str, bool]:
    """Return for every node whether it may change.

    A node that no policy selects any more only gives free functions back, so nothing limits it.

    Args:
        turns: the nodes.
        limits: how many nodes of each policy may change; a policy without an entry has the default limit.
        paused: policies whose nodes get no new turn.
        told: what only the statuses of the policies say.
    """
    ordered = sorted(turns, key=_place)
    matching = Counter(policy for turn in ordered for policy in turn.policies)
    room = {policy: limits.get(policy, MaxUnavailable()).of(number) for policy, number in matching.items()}
    stops = stopped(ordered).keys()
    for policy in room.keys() & told.turns.keys():
        room[policy] -= len(told.turns[policy])
    answer = {turn.node: _keeps(turn) for turn in ordered}
    for turn in ordered:
        # Also one whose turn ends now: until it has answered that, it may change. A silent one is not waited for. Its
        # place is free only when it is written that it lost its turn, because that write may fail.
        if turn.granted or turn.unknown or turn.closing:
            _take(room, turn)
    for turn in ordered:
        closed = (stops | told.stopped_for(turn.node)) - turn.failed
        # A turn that was given for other work carries no edit that would get none.
        if not (paused | closed).isdisjoint(turn.brings) or any(room[policy] < 0 for policy in turn.brings):
            answer[turn.node] = False
        free = _waits(turn) and not turn.barred and paused.isdisjoint(turn.policies)
        # The node that failed may try again, though a policy that is carried out there has stopped elsewhere: two nodes
        # that failed for different policies would wait for each other.
        free = free and closed.isdisjoint(turn.pending if turn.failed else turn.policies)
        if free and all(room[policy] > 0 for policy in turn.policies):
            answer[turn.node] = True
            _take(room, turn)
    return answer


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """How the rollout of one policy stands."""

    turns: tuple[str, ...] = ()
    """Nodes that have a turn, by name."""
    waiting: tuple[str, ...] = ()
    """Nodes that want one, in the order in which they get it."""
    paused: bool = False
    stopped_by: str = ""
    """The node whose failure stops it."""

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each waiting node, from 1."""
        return {node: number for number, node in enumerate(self.waiting, start=1)}


def rollouts_of(
    turns: Sequence[Turn], answer: Mapping[str, bool], policies: Mapping[str, Policy], told: Remembered = NOTHING
) -> dict[str, Rollout]:
    """Return how the rollout of each policy stands where nodes have or want a turn, or where it is paused."""
    having = {policy: list(nodes) for policy, nodes in told.turns.items()}
    waiting: dict[str, list[str]] = {}
    for turn in sorted(turns, key=lambda turn: turn.node):
        for policy in turn.policies if answer[turn.node] else ():
            having.setdefault(policy, []).append(turn.node)
    for turn in queue(turns, answer):
        for policy in turn.policies:
            waiting.setdefault(policy, []).append(turn.node)
    stops = {**stopped(turns), **told.stopped_by}
    paused = {name for name, policy in policies.items() if policy.paused}
    return {
        name: Rollout(
            turns=tuple(sorted(having.get(name, ()))),
            waiting=tuple(waiting.get(name, ())),
            paused=name in paused,
            stopped_by=stops.get(name, ""),
        )
        for name in having.keys() | waiting.keys() | stops.keys() | paused
    }


def stopped(turns: Iterable[Turn]) -> dict[str, str]:
    """Return the policies that are stopped, each with the first node that failed."""
    ordered = sorted(turns, key=lambda turn: turn.node, reverse=True)
    return {policy: turn.node for turn in ordered for policy in turn.failed}


def queue(turns: Iterable[Turn], answer: Mapping[str, bool]) -> list[Turn]:
    """Return the nodes that wait for a turn, in the order in which they get one."""
    return [turn for turn in sorted(turns, key=_place) if _waits(turn) and not turn.barred and not answer[turn.node]]


def _place(turn: Turn) -> tuple[int, str]:
    return turn.last, turn.node


def _keeps(turn: Turn) -> bool:
    ends = turn.settled or turn.lost or turn.unknown or turn.yields
    return turn.granted and not ends


def _waits(turn: Turn) -> bool:
    return turn.wants and not (turn.granted or turn.lost or turn.unknown or turn.closing)


def _take(room: dict[str, int], turn: Turn) -> None:
    for policy in turn.policies:
        room[policy] -= 1
