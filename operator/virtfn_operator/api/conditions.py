"""metav1.Condition: set conditions, keep their transition times, and find transitions. The caller passes the time."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any

from virtfn_host.core.values.reasons import CALM
from virtfn_operator.api.bounds import Message, Most, Word, cut_text
from virtfn_operator.api.foreign import entries, number, text

READY = "Ready"
PREFLIGHT = "Preflight"
ACCEPTED = "Accepted"

TRUE = "True"
FALSE = "False"
UNKNOWN = "Unknown"

MESSAGE_LIMIT = 2048
"""Characters of a message. The API allows 32768, but a status stays small."""

REASON_LIMIT, TYPE_LIMIT = 1024, 316
CONDITION_LIMIT = 16
"""Conditions in a status, the schema's bound; places for our own are kept free."""

ENTRY_LIMIT = 64
"""Entries of a list of conditions that are read."""

OURS = frozenset({READY, PREFLIGHT, ACCEPTED})

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)

_TYPE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_./-]{0,314}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition, field for field as in JSON."""

    type: Annotated[str, Most(316)]
    status: Annotated[str, Most(16)]
    reason: Word
    message: Message
    observed_generation: int
    last_transition_time: Annotated[str, Most(64)] = ""
    """Set by `upsert`."""

    @property
    def warning(self) -> bool:
        """Whether people should look at it: the reason is neither success nor progress."""
        return self.reason not in CALM


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A condition whose status or reason changed; `old` is None where there was none."""

    old: Condition | None
    new: Condition


def upsert(conditions: tuple[Condition, ...], new: Condition, now: str) -> tuple[Condition, ...]:
    """Replace the condition of the type of `new`; `lastTransitionTime` changes only with the status.

    Other conditions without a time or a reason are dropped, because the schema refuses them.
    """
    conditions = tuple(it for it in conditions if (it.last_transition_time and it.reason) or it.type == new.type)
    old = find(conditions, new.type)
    kept = old.last_transition_time if old and old.status == new.status and old.last_transition_time else now
    placed = replace(new, last_transition_time=kept, message=cut_text(new.message, MESSAGE_LIMIT))
    if old is None:
        return (*conditions, placed)
    return tuple(placed if condition.type == new.type else condition for condition in conditions)


def transitions(old: Iterable[Condition], new: Iterable[Condition]) -> tuple[Transition, ...]:
    """Return the conditions whose status or reason differs from `old`; a new message alone is no transition."""
    before = {condition.type: condition for condition in old}
    return tuple(
        Transition(old=was, new=condition)
        for condition in new
        if (was := before.get(condition.type)) is None
        or (was.status, was.reason) != (condition.status, condition.reason)
    )


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return the condition of this type, or None."""
    return next((condition for condition in conditions if condition.type == kind), None)


def read_conditions(status: Mapping[str, Any]) -> tuple[Condition, ...]:
    """Read the conditions of a status, each type once; entries without a valid type are left out.

    The conditions are written back with the new ones, so they are made valid, whatever the status held.
    """
    found: dict[str, Condition] = {}
    for item in entries(status.get("conditions"), ENTRY_LIMIT):
        condition = Condition(
            type=text(item.get("type"), TYPE_LIMIT),
            status=text(item.get("status")) if item.get("status") in (TRUE, FALSE) else UNKNOWN,
            reason=text(item.get("reason"), REASON_LIMIT),
            message=text(item.get("message"), MESSAGE_LIMIT),
            observed_generation=number(item.get("observedGeneration")) or 0,
            last_transition_time=_time(item.get("lastTransitionTime")),
        )
        room = condition.type in OURS or len(found.keys() - OURS) < CONDITION_LIMIT - len(OURS)
        if _TYPE.fullmatch(condition.type) and room:
            found.setdefault(condition.type, condition)
    return tuple(found.values())


def _time(value: object) -> str:
    """The value if it is RFC 3339 as the API server accepts it, else an empty text."""
    return value if isinstance(value, str) and _RFC3339.fullmatch(value) and _is_time(value) else ""


def _is_time(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
