"""How long a node has had its turn, and when it last reported something new. Pure; the caller passes the time.

The controller notes on the SriovNode when it granted the turn and when the node last reported something new. The note
is an annotation, because a change of the spec would raise its generation. Only the controller's clock counts, not an
agent's. A noted time in the future counts as now, because then the clock was set back.

A node on which every policy failed and stops its rollout keeps its turn, however long that takes: the status names it.
Where another policy shares the node, silence counts: it holds up the other nodes of that policy. There the turn also
ends when nothing is changing any more, and the note keeps the failure (`failed=`). A node that reports nothing new for
`timeout` seconds loses its turn. A node that evicts pods has nothing new to report while they take their grace period,
so its silence begins when that is over. One on which nothing goes on, because all waits for holders or failed, and one
that always reports something new, loses its turn after `MOST` timeouts: it may be dead, or lie. A node whose evictions
are refused gives its turn up after `GRACE` seconds and rests for `PAUSE`. So does one that lost its turn while it
waited for pods, and, at once, one that failed where the others are to go on. The rest ends with an edit, and when the
node is well. Each rest in a row is longer; but when the pods are gone, it is as long as the first one. It does not end
then, because a node whose pods come and go would have a turn each time.

A note stays when its turn has ended, with the number of that turn. Turns are counted over all nodes in the order in
which they end, so that the node with the most recent turn waits for all others. Numbers are used because clocks jump.
"""

import hashlib
import re
from collections.abc import Iterable, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from virtfn_host.core.values.desired import PolicyConfig
from virtfn_operator.api.foreign import mapping
from virtfn_operator.api.node_state import NodeState
from virtfn_operator.api.node_status import State

ANNOTATION = "virtfn.dev/turn"

TIMEOUT = 900.0
"""Seconds; the chart's `controller.turnTimeoutSeconds`."""

GRACE = 600.0
"""Seconds that evictions may be refused in a turn, without anything new, before the turn ends: a PodDisruptionBudget
that waits for a replacement to become ready allows them within minutes."""

PAUSE = 600.0
"""Seconds after such a turn before the node may have another one; meanwhile pods use what was withdrawn. Doubled each
time, so that a node that can never evict is not withdrawn half of the time."""

MOST_TIMES = 5
"""Turns in a row after which the pause grows no more: then it is 160 minutes."""

MOST = 8
"""Timeouts that one turn may last, however often the node reports something new."""

SEEN = 60.0
"""Seconds between two notes that pods are still ending; each is a write."""

MOST_MARKS = 8
EVERY = "ffffffff"
"""Marks of failed policies in one note; where more failed, this one stands for every policy of the node."""

LIMIT = 512
"""Characters of a note; the chart's admission policy allows no more."""

MOST_TURNS = 10**15 - 1
"""The highest number of a turn; a note with a higher one could not be read back."""

_NOTE = re.compile(
    r"granted=(\S{1,40}) heard=(\S{1,40}) word=([0-9a-f]{1,16})(?: lost=(\S{1,40}))?(?: ended=([0-9]{1,15}))?"
    r"(?: closes=([0-9]{1,15}))?(?: failed=([0-9a-f]{8}(?:\.[0-9a-f]{8}){0,7}))?(?: refused=(\S{1,40}))?"
    r"(?: gaveup=(\S{1,40}))?(?: times=([0-9]{1,2}))?"
    # Fields of a newer version come last and are ignored. What looks like a known one is damaged.
    r"(?: (?!(?:lost|ended|closes|failed|refused|gaveup|times)=)[a-z]{1,16}=\S{1,128}){0,8}"
)
_STANDS = frozenset({State.FAILED, State.BLOCKED})
_NOT_WELL = frozenset({State.FAILED, State.CHANGING, State.BLOCKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """The controller's note on one node's turn."""

    granted: datetime
    heard: datetime
    """When the node last reported something new, or pods that it waits for still had time to end."""
    word: str
    """The hash of what it reported then (`NodeState.word`)."""
    lost: datetime | None = None
    """When it lost its turn; kept until it has answered and nothing disruptive is left, or it gets a turn again."""
    number: int | None = None
    """The number of the turn among all turns that ended, of all nodes; None until it has ended."""
    closes: int | None = None
    """The generation that took the turn back. Until the node has answered it, it may still be changing."""
    failed: frozenset[str] = frozenset()
    """The marks (`mark`) of policies that failed in a turn and stop their rollout; `EVERY` stands for all."""
    refused: datetime | None = None
    """Since when evictions do not go on in this turn; None: they do. It stays where the turn ended for that alone."""
    gave_up: datetime | None = None
    """When the turn ended before its work was done: pods were not evicted or did not end, or the node failed and others
    go on."""
    times: int = 0
    """How often in a row that happened."""

    @property
    def over(self) -> bool:
        """Whether the turn has ended."""
        return self.lost is not None or self.number is not None

    def __str__(self) -> str:
        lost = f" lost={_text(self.lost)}" if self.lost else ""
        ended = "" if self.number is None else f" ended={self.number}"
        more = "" if self.closes is None else f" closes={self.closes}"
        more += f" failed={'.'.join(sorted(self.failed))}" if self.failed else ""
        more += f" refused={_text(self.refused)}" if self.refused else ""
        more += f" gaveup={_text(self.gave_up)}" if self.gave_up else ""
        more += f" times={self.times}" if self.times else ""
        return f"granted={_text(self.granted)} heard={_text(self.heard)} word={self.word}{lost}{ended}{more}"


def fresh(state: NodeState, now: datetime, before: Note | None = None) -> Note:
    """Return the note of a turn that begins now.

    Args:
        state: what the node reports.
        now: the controller's time.
        before: the note of its last turn.
    """
    note = Note(granted=now, heard=now, word=state.word)
    return replace(note, failed=before.failed, times=before.times) if before else note


def read_note(body: object) -> Note | None:
    """Read the note on a SriovNode, as far as its fields are known; None where there is none, or an invalid one."""
    text = mapping(mapping(mapping(body).get("metadata")).get("annotations")).get(ANNOTATION)
    match = _NOTE.fullmatch(text) if isinstance(text, str) and len(text) < LIMIT else None
    if match is None:
        return None
    try:
        granted, heard = read_time(match[1]), read_time(match[2])
        lost, refused, gave_up = (read_time(match[n]) if match[n] else None for n in (4, 8, 9))
        number, closes = (int(match[n]) if match[n] else None for n in (5, 6))
        return Note(
            granted=granted,
            heard=heard,
            word=match[3],
            lost=lost,
            number=number,
            closes=closes,
            failed=frozenset((match[7] or "").split(".")) - {""},
            refused=refused,
            gave_up=gave_up,
            times=int(match[10] or 0),
        )
    except ValueError:
        return None


def last(note: Note | None) -> int:
    """Return the number of the node's last turn, the highest for the most recent one; 0 where it had none."""
    return 0 if note is None else max(1, note.number or 0)


def following(numbers: Iterable[int]) -> int:
    """Return the number for the turn that ends next, from the number of the last turn (`last`) of each SriovNode."""
    return min(1 + max(numbers, default=0), MOST_TURNS)


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
        return fresh(state, now, note)
    return _heard(note, state, now, jumped=jumped)


def closing(note: Note, state: NodeState, now: datetime, *, jumped: bool = False) -> Note:
    """Return the updated note of a node without a turn: until it has answered that, its time goes on as in its turn.

    Arguments are those of `heard`.
    """
    return _heard(note, state, now, jumped=jumped) if _unanswered(note, state) else note


def _heard(note: Note, state: NodeState, now: datetime, *, jumped: bool) -> Note:
    if jumped:
        note = replace(note, granted=now, heard=now, refused=note.refused and now)
    note = replace(note, granted=min(note.granted, now), heard=min(note.heard, now))
    return note if state.unknown or state.word == note.word else replace(note, heard=now, word=state.word)


def edited(note: Note, now: datetime) -> Note:
    """Return the note of a node that is asked for something else in its turn: it has not had time to answer that."""
    return replace(note, granted=now, heard=now)


def is_lost(note: Note, state: NodeState, now: datetime, timeout: float) -> bool:
    """Whether the node loses its turn now. While evictions are refused its silence says nothing: see `gives_up`. One on
    which nothing goes on has nothing new to say: a holder may keep its function for hours."""
    waits = state.heard and bool(state.policies) and all(outcome.state in _STANDS for outcome in state.policies)
    silent = not waits and note.refused is None and _is_silent(note, now, timeout)
    return silent or _lasts_too_long(note, now, timeout)


def _is_silent(note: Note, now: datetime, timeout: float) -> bool:
    return (now - note.heard).total_seconds() >= timeout


def _lasts_too_long(note: Note, now: datetime, timeout: float) -> bool:
    return (now - note.granted).total_seconds() >= MOST * timeout


def taken(note: Note, state: NodeState, now: datetime, number: int) -> Note:
    """Return the note of a turn that the node loses now. One that waited for pods rests, so that pods use the node."""
    note = replace(note, lost=now, word=state.word, number=number, refused=None)
    if state.displaced is None or not state.displaced.withdrawn:
        return note
    return replace(note, refused=now, gave_up=now, times=min(note.times + 1, MOST_TIMES))


def ended(note: Note, number: int, *, now: datetime, closes: int, gave_up: bool = False) -> Note:
    """Return the note of a node without a turn.

    Args:
        note: its present note; of a turn that ended earlier, it stays.
        number: the number for a turn that it had until now.
        now: the controller's time.
        closes: the generation that takes the turn back.
        gave_up: whether it ends before its work is done.
    """
    if note.over:
        return note
    refused, stopped, times = (note.refused, now, min(note.times + 1, MOST_TIMES)) if gave_up else (None, None, 0)
    return replace(note, heard=now, number=number, closes=closes, refused=refused, gave_up=stopped, times=times)


def is_closing(note: Note, state: NodeState, now: datetime, timeout: float) -> bool:
    """Whether a node may not know yet that its turn has ended. It is waited for as long as it could have kept it."""
    waits = not (_is_silent(note, now, timeout) or _lasts_too_long(note, now, timeout))
    return waits and _unanswered(note, state)


def _unanswered(note: Note, state: NodeState) -> bool:
    """Whether a node has not answered yet that its turn has ended; one that lost it is not waited for."""
    return note.closes is not None and note.lost is None and state.observed_generation < note.closes


def mark(policy: PolicyConfig) -> str:
    """Return what a note calls this policy; an edit makes it another one."""
    return hashlib.sha256(f"{policy.uid}/{policy.generation}".encode()).hexdigest()[:8]


def still_failed(
    note: Note, failing: Set[str], state: NodeState, asked: Iterable[PolicyConfig]
) -> tuple[PolicyConfig, ...]:
    """Return the policies that fail there now or are noted to have failed. A node says `Changing` while it tries again,
    and `Blocked` where a pod came between, so a failure ends only when the node reports that this policy is well, or
    when the policy is edited.

    Args:
        note: the present note.
        failing: the names of the policies that fail in its turn now.
        state: what the node reports.
        asked: the policies that it is asked to carry out and that stop after a failure.
    """
    fine = well(state)
    return tuple(p for p in asked if p.name in failing or (p.uid not in fine and failed_in(note, p)))


def well(state: NodeState) -> frozenset[str]:
    """Return the uids of the policies that a node reports to be well."""
    found = (outcome.uid for outcome in state.policies if outcome.state not in _NOT_WELL)
    return frozenset(found) if state.heard else frozenset()


def with_failure(note: Note, failed: Iterable[PolicyConfig]) -> Note:
    """Return the note with the policies that have failed there."""
    marks = frozenset(map(mark, failed))
    marks = marks if len(marks) <= MOST_MARKS else frozenset({EVERY})
    return note if marks == note.failed else replace(note, failed=marks)


def failed_in(note: Note, policy: PolicyConfig) -> bool:
    """Whether the note says that this policy failed."""
    return not note.failed.isdisjoint((mark(policy), EVERY))


def with_refusal(note: Note, now: datetime, *, refused: bool) -> Note:
    """Return the note of a node in its turn, with the time since when its evictions do not go on. When they go on
    again, that is something new."""
    if refused:
        since = min(note.refused or now, now)
        return note if since == note.refused else replace(note, refused=since)
    return note if note.refused is None else replace(note, refused=None, heard=now)


def with_ending(note: Note, now: datetime, until: datetime | None) -> Note:
    """Return the note of a node in its turn that waits for pods to end. While they have time to, it is not silent.

    Args:
        note: its present note.
        now: the controller's time.
        until: when the last of these pods should have ended; None: none is ending.
    """
    if until is None or note.refused is not None or (min(now, until) - note.heard).total_seconds() < SEEN:
        return note
    return replace(note, heard=min(now, until))


def gives_up(note: Note, now: datetime, grace: float) -> bool:
    """Whether evictions have been refused for so long, without anything new, that the turn ends."""
    return note.refused is not None and (now - max(note.refused, note.heard)).total_seconds() >= grace


def rested(note: Note) -> Note:
    """Return the note of a node whose rest has lost its cause: the next one is a first one again."""
    return replace(note, gave_up=None, times=0)


def pods_gone(note: Note, state: NodeState) -> bool:
    """Whether a turn ended because of pods alone that are not in the way any more."""
    return note.over and note.refused is not None and state.displaced is None


def rest_of(note: Note, state: NodeState, pause: float) -> float:
    """Return the seconds without a turn after one that ended before its work was done: twice as many each time."""
    return pause if pods_gone(note, state) else pause * 2.0 ** max(0, note.times - 1)


def rests(note: Note, state: NodeState, now: datetime, pause: float) -> bool:
    """Whether a turn that ended before its work was done was so short a time ago that no other one is given yet."""
    if not note.over or note.gave_up is None:
        return False
    return 0.0 <= (now - note.gave_up).total_seconds() < rest_of(note, state, pause)


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
        " the next node goes on; check the agent there, and whether the pods that it waits for end"
    )


def annotated(note: Note | None, body: object) -> dict[str, Any]:
    """Return the part of a merge patch that writes the note; empty when the object has it already."""
    old = mapping(mapping(mapping(body).get("metadata")).get("annotations")).get(ANNOTATION)
    new = None if note is None else str(note)
    return {} if old == new else {"metadata": {"annotations": {ANNOTATION: new}}}


def _text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
