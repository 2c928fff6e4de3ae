"""Which nodes may carry out a disruptive plan now: no policy has more than `maxUnavailable` nodes changing. Pure.

A node asks by reporting a disruptive plan and holds its turn until it reports that nothing disruptive is left. A node
that fails in its turn keeps it: a change that breaks nodes stops by itself. A node that says nothing at all loses it
after a time (`turns.py`), or one dead machine would hold up everybody. Whoever had a turn most recently is the last to
have another: a node that ends its turn and asks again at once has no more turns than the others.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from virtfn_operator.api.policy import MaxUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One node, as far as taking turns goes."""

    node: str
    policies: tuple[str, ...]
    """Those it is asked to carry out; each has its own limit."""
    granted: bool
    """Its spec says that it may change."""
    wants: bool
    """It reports a disruptive plan for what it is asked now."""
    settled: bool
    """It has seen what it was asked last and has nothing disruptive left."""
    lost: bool = False
    """It was silent for too long: its turn ends now."""
    last: int = 0
    """Number of its last turn among all turns that ended: whoever has a smaller one goes first, 0 never had one."""
    unknown: bool = False
    """Nobody can tell what it was granted: it gets nothing, and takes the room of one that changes."""


def may_change(turns: Iterable[Turn], limits: Mapping[str, MaxUnavailable]) -> dict[str, bool]:
    """Say for every node whether it may change; a policy without an entry in `limits` has the default limit.

    A node that no policy claims any more only gives free functions back, so nothing limits it.
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
