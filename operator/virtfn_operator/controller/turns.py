"""How long a node has had its turn, and whether it still says something. Pure; the time is the caller's.

The controller notes on the SriovNode (annotation, because a spec would be asked anew) when it granted the turn and when
the node last told something new. Its own clock alone counts: an agent's clock, or what it says of time, is not asked.
A noted time that lies in the future is taken for now, because somebody set the clock back.

A node that says that it failed or that it waits for a holder keeps its turn, however long that takes. One that says
nothing new for `timeout` loses it. One that always says something new and never ends loses it after `MOST` timeouts:
whoever fakes progress holds the others up no longer than that.

A note stays when its turn has ended, with the number of that turn: turns are counted over all nodes, in the order in
which they end, so that whoever had one most recently waits for all others. A number, because no clock moves it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from virtfn_operator.api.foreign import mapping
from virtfn_operator.api.node_state import NodeState
from virtfn_operator.api.node_status import State

ANNOTATION = "virtfn.dev/turn"

TIMEOUT = 900.0
"""Seconds; the chart's `controller.turnTimeoutSeconds`."""

MOST = 8
"""Timeouts that one turn may last with news all the while."""

MOST_TURNS = 10**15 - 1
"""Where counting stops; beyond it a note could not be read back."""

_NOTE = re.compile(
    r"granted=(\S{1,40}) heard=(\S{1,40}) word=([0-9a-f]{1,16})(?: lost=(\S{1,40}))?(?: ended=([0-9]{1,15}))?"
)
_STANDS = frozenset({State.FAILED, State.BLOCKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What the controller keeps in mind of one node's turn."""

    granted: datetime
    heard: datetime
    """When it last told something new."""
    word: str
    """What it told then, as `NodeState.word` has it."""
    lost: datetime | None = None
    """When it lost its turn; kept until it has answered and nothing disruptive is left, or it has a turn again."""
    number: int | None = None
    """Of the turn among all that ended, of whatever node; None while it is on."""

    @property
    def over(self) -> bool:
        """Whether the turn has ended, one way or the other."""
        return self.lost is not None or self.number is not None

    def __str__(self) -> str:
        lost = f" lost={_text(self.lost)}" if self.lost else ""
        ended = "" if self.number is None else f" ended={self.number}"
        return f"granted={_text(self.granted)} heard={_text(self.heard)} word={self.word}{lost}{ended}"


def fresh(state: NodeState, now: datetime) -> Note:
    """A turn that begins now."""
    return Note(granted=now, heard=now, word=state.word)


def read_note(body: object) -> Note | None:
    """The note on a SriovNode, or None; whatever else stands there is none."""
    text = mapping(mapping(mapping(body).get("metadata")).get("annotations")).get(ANNOTATION)
    match = _NOTE.fullmatch(text) if isinstance(text, str) and len(text) < 256 else None
    if match is None:
        return None
    try:
        granted, heard = read_time(match[1]), read_time(match[2])
        lost, number = read_time(match[4]) if match[4] else None, int(match[5]) if match[5] else None
        return Note(granted=granted, heard=heard, word=match[3], lost=lost, number=number)
    except ValueError:
        return None


def last(note: Note | None) -> int:
    """Orders nodes by their last turn: the greatest had one most recently, 0 never had one."""
    return 0 if note is None else max(1, note.number or 0)


def following(bodies: Iterable[object]) -> int:
    """The number of the turn that ends next, by what stands on all SriovNodes."""
    return min(1 + max((last(read_note(body)) for body in bodies), default=0), MOST_TURNS)


def read_time(text: str) -> datetime:
    """RFC 3339 with its zone.

    Raises:
        ValueError: it is none, or lies outside of the years 1 to 9999 once it is in UTC.
    """
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    try:
        return found.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text} is no time in UTC") from error


def heard(note: Note | None, state: NodeState, now: datetime, *, jumped: bool = False) -> Note:
    """The note of a node that has its turn, brought up to date.

    Args:
        jumped: the clock was set since the last look, so that no noted time can be compared with now.
    """
    if note is None or note.over:
        return fresh(state, now)
    if jumped:
        note = replace(note, granted=now, heard=now)
    note = replace(note, granted=min(note.granted, now), heard=min(note.heard, now))
    return note if state.unknown or state.word == note.word else replace(note, heard=now, word=state.word)


def is_lost(note: Note, state: NodeState, now: datetime, timeout: float) -> bool:
    """Whether the turn ends without the node."""
    if state.heard and any(outcome.state in _STANDS for outcome in state.policies):
        return False
    silent = (now - note.heard).total_seconds() >= timeout
    return silent or (now - note.granted).total_seconds() >= MOST * timeout


def taken(note: Note, state: NodeState, now: datetime, number: int) -> Note:
    """The note of a turn that the node loses now."""
    return replace(note, lost=now, word=state.word, number=number)


def ended(note: Note, number: int) -> Note:
    """The note of a node that has no turn; where it had one until now, that was the last to end."""
    return note if note.over else replace(note, number=number)


def settled(note: Note, state: NodeState) -> Note:
    """The note of a node that has nothing disruptive left: it is not reproached any longer with a turn that it lost."""
    return replace(note, lost=None, number=last(note)) if note.lost and has_answered(note, state) else note


def has_answered(note: Note, state: NodeState) -> bool:
    """Whether a node that lost its turn has spoken since."""
    return state.heard and state.word != note.word


def why(note: Note) -> str:
    """For people; the same at every look."""
    return (
        f"had its turn since {_text(note.granted)}, told nothing new after {_text(note.heard)} and did not end it: the"
        " next node goes on; look at the agent there"
    )


def annotated(note: Note | None, body: object) -> dict[str, Any]:
    """The part of a merge patch that makes the note stand on the object; empty when it does already."""
    old = mapping(mapping(mapping(body).get("metadata")).get("annotations")).get(ANNOTATION)
    new = None if note is None else str(note)
    return {} if old == new else {"metadata": {"annotations": {ANNOTATION: new}}}


def _text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
