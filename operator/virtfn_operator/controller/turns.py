"""How long a node has had its turn, and when it last reported something new. Pure; the caller passes the time.

The controller notes on the SriovNode when it granted the turn and when the node last reported something new. The note
is an annotation, because a change of the spec would raise its generation. Only the controller's clock counts, not an
agent's. A noted time in the future counts as now, because then the clock was set back.

A node that reports a failure or waits for a holder keeps its turn, however long that takes. A node that reports nothing
new for `timeout` seconds loses it. A node that always reports something new and never ends loses it after `MOST`
timeouts, so that false progress delays the others no longer than that.

A note stays when its turn has ended, with the number of that turn. Turns are counted over all nodes in the order in
which they end, so that the node with the most recent turn waits for all others. Numbers are used because clocks jump.
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
"""Timeouts that one turn may last, however often the node reports something new."""

MOST_TURNS = 10**15 - 1
"""The highest number of a turn; a note with a higher one could not be read back."""

_NOTE = re.compile(
    r"granted=(\S{1,40}) heard=(\S{1,40}) word=([0-9a-f]{1,16})(?: lost=(\S{1,40}))?(?: ended=([0-9]{1,15}))?"
)
_STANDS = frozenset({State.FAILED, State.BLOCKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """The controller's note on one node's turn."""

    granted: datetime
    heard: datetime
    """When the node last reported something new."""
    word: str
    """The hash of what it reported then (`NodeState.word`)."""
    lost: datetime | None = None
    """When it lost its turn; kept until it has answered and nothing disruptive is left, or it gets a turn again."""
    number: int | None = None
    """The number of the turn among all turns that ended, of all nodes; None until it has ended."""

    @property
    def over(self) -> bool:
        """Whether the turn has ended."""
        return self.lost is not None or self.number is not None

    def __str__(self) -> str:
        lost = f" lost={_text(self.lost)}" if self.lost else ""
        ended = "" if self.number is None else f" ended={self.number}"
        return f"granted={_text(self.granted)} heard={_text(self.heard)} word={self.word}{lost}{ended}"


def fresh(state: NodeState, now: datetime) -> Note:
    """Return the note of a turn that begins now."""
    return Note(granted=now, heard=now, word=state.word)


def read_note(body: object) -> Note | None:
    """Read the note on a SriovNode; None where there is none, or an invalid one."""
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
    """Return the number of the node's last turn, the highest for the most recent one; 0 where it had none."""
    return 0 if note is None else max(1, note.number or 0)


def following(bodies: Iterable[object]) -> int:
    """Return the number for the turn that ends next, from the notes on all SriovNodes."""
    return min(1 + max((last(read_note(body)) for body in bodies), default=0), MOST_TURNS)


def read_time(text: str) -> datetime:
    """Parse RFC 3339 with its zone.

    Raises:
        ValueError: the text is invalid, or outside of the years 1 to 9999 in UTC.
    """
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    try:
        return found.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text} is out of range in UTC") from error


def heard(note: Note | None, state: NodeState, now: datetime, *, jumped: bool = False) -> Note:
    """Return the updated note of a node that has its turn.

    Args:
        note: its present note.
        state: what it reports.
        now: the controller's time.
        jumped: whether the clock was set since the last look, so that noted times cannot be compared with now.
    """
    if note is None or note.over:
        return fresh(state, now)
    if jumped:
        note = replace(note, granted=now, heard=now)
    note = replace(note, granted=min(note.granted, now), heard=min(note.heard, now))
    return note if state.unknown or state.word == note.word else replace(note, heard=now, word=state.word)


def is_lost(note: Note, state: NodeState, now: datetime, timeout: float) -> bool:
    """Whether the node loses its turn now."""
    if state.heard and any(outcome.state in _STANDS for outcome in state.policies):
        return False
    silent = (now - note.heard).total_seconds() >= timeout
    return silent or (now - note.granted).total_seconds() >= MOST * timeout


def taken(note: Note, state: NodeState, now: datetime, number: int) -> Note:
    """Return the note of a turn that the node loses now."""
    return replace(note, lost=now, word=state.word, number=number)


def ended(note: Note, number: int) -> Note:
    """Return the note of a node without a turn; a turn that it had until now gets this number."""
    return note if note.over else replace(note, number=number)


def settled(note: Note, state: NodeState) -> Note:
    """Return the note of a node that has nothing disruptive left: once it has answered, a lost turn is forgotten."""
    return replace(note, lost=None, number=last(note)) if note.lost and has_answered(note, state) else note


def has_answered(note: Note, state: NodeState) -> bool:
    """Whether a node that lost its turn has reported something new since."""
    return state.heard and state.word != note.word


def why(note: Note) -> str:
    """Return the message about a lost turn; it is the same at every look."""
    return (
        f"had its turn since {_text(note.granted)}, reported nothing new after {_text(note.heard)} and did not end it:"
        " the next node goes on; check the agent there"
    )


def annotated(note: Note | None, body: object) -> dict[str, Any]:
    """Return the part of a merge patch that writes the note; empty when the object has it already."""
    old = mapping(mapping(mapping(body).get("metadata")).get("annotations")).get(ANNOTATION)
    new = None if note is None else str(note)
    return {} if old == new else {"metadata": {"annotations": {ANNOTATION: new}}}


def _text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
