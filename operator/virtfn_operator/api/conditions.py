"""metav1.Condition: set one without losing when it last changed, and tell what changed. Time is the caller's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from virtfn_host.core.reasons import Reason

READY = "Ready"
PREFLIGHT = "Preflight"
ACCEPTED = "Accepted"

TRUE = "True"
FALSE = "False"
UNKNOWN = "Unknown"

MESSAGE_LIMIT = 2048
"""The API allows 32768; a status stays small."""

_CALM = frozenset({Reason.CONVERGED, Reason.CHANGING, Reason.WAITING_FOR_TURN, Reason.EVICTING, Reason.RECONFIGURING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition, field for field as the wire has it."""

    type: str
    status: str
    reason: str
    message: str
    observed_generation: int
    last_transition_time: str = ""
    """Filled in by `upsert`."""

    @property
    def warning(self) -> bool:
        """Whether somebody should look: neither fine nor on its way."""
        return self.reason not in _CALM


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A condition whose status or reason changed; `old` None where there was none."""

    old: Condition | None
    new: Condition


def upsert(conditions: tuple[Condition, ...], new: Condition, now: str) -> tuple[Condition, ...]:
    """Put `new` in the place of its type; `lastTransitionTime` moves only with the status."""
    old = find(conditions, new.type)
    kept = old.last_transition_time if old and old.status == new.status and old.last_transition_time else now
    placed = replace(new, last_transition_time=kept, message=new.message[:MESSAGE_LIMIT])
    if old is None:
        return (*conditions, placed)
    return tuple(placed if condition.type == new.type else condition for condition in conditions)


def transitions(old: Iterable[Condition], new: Iterable[Condition]) -> tuple[Transition, ...]:
    """Conditions of `new` whose status or reason is another than in `old`; messages alone are no transition."""
    before = {condition.type: condition for condition in old}
    return tuple(
        Transition(old=was, new=condition)
        for condition in new
        if (was := before.get(condition.type)) is None
        or (was.status, was.reason) != (condition.status, condition.reason)
    )


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of this type, or None."""
    return next((condition for condition in conditions if condition.type == kind), None)


def read_conditions(status: Mapping[str, Any]) -> tuple[Condition, ...]:
    """The conditions of a status as the wire has it; an entry without a type is left out."""
    return tuple(
        Condition(
            type=str(item["type"]),
            status=str(item.get("status", UNKNOWN)),
            reason=str(item.get("reason", "")),
            message=str(item.get("message", "")),
            observed_generation=int(item.get("observedGeneration", 0)),
            last_transition_time=str(item.get("lastTransitionTime", "")),
        )
        for item in status.get("conditions") or ()
        if isinstance(item, Mapping) and item.get("type")
    )
