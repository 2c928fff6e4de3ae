"""Decides which nodes may carry out a disruptive plan now: at most `maxUnavailable` nodes of a policy. Pure.

A node asks for a turn by reporting a disruptive plan, and keeps it until it reports that nothing disruptive is left. A
node that fails in its turn keeps it, so that a change that breaks nodes stops by itself. A node that reports nothing
loses its turn after a time (`turns.py`), so that one dead machine does not stop the rollout. The node with the most
recent turn waits for all others, so that a node that asks again at once gets no more turns than they do.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from virtfn_operator.api.policy import MaxUnavailable


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


def may_change(turns: Iterable[Turn], limits: Mapping[str, MaxUnavailable]) -> dict[str, bool]:
    """Return for every node whether it may change; a policy without an entry in `limits` has the default limit.

    A node that no policy selects any more only gives free functions back, so nothing limits it.
    """
    ordered = sorted(turns, key=lambda turn: (turn.last, turn.node))
    matching = Counter(policy for turn in ordered for policy in turn.policies)
    room = {policy: limits.get(policy, MaxUnavailable()).of(number) for policy, number in matching.items()}
    answer = {turn.node: turn.granted and not turn.settled and not turn.lost and not turn.unknown for turn in ordered}
    for turn in ordered:
        if answer[turn.node] or turn.unknown:
            _take(room, turn)
    for turn in ordered:
        free = turn.wants and not turn.lost and not turn.unknown and not answer[turn.node]
        if free and all(room[policy] > 0 for policy in turn.policies):
            answer[turn.node] = True
            _take(room, turn)
    return answer


def _take(room: dict[str, int], turn: Turn) -> None:
    for policy in turn.policies:
        room[policy] -= 1
