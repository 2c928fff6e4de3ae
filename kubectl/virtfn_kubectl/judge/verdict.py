"""How a policy, a node or a policy on a node stands: one word, the reason, since when."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from virtfn_host.core.values.desired import Rejected
from virtfn_host.core.values.reasons import CALM, Reason
from virtfn_kubectl.read.fleet import NodeSeen, PolicySeen
from virtfn_operator.api.conditions import ACCEPTED, FALSE, TRUE, Condition, find
from virtfn_operator.api.node_status import PolicyOutcome, State


class Stand(StrEnum):
    """How something stands. The words are those of a SriovNode's outcomes, and one for what nothing is known of."""

    READY = "Ready"
    CHANGING = "Changing"
    BLOCKED = "Blocked"
    FAILED = "Failed"
    REJECTED = "Rejected"
    WITHOUT_DEVICE = "WithoutDevice"
    UNKNOWN = "Unknown"


WELL = frozenset({Stand.READY, Stand.CHANGING, Stand.WITHOUT_DEVICE})
"""Nothing of it is a problem. A policy without any device says so by its own verdict."""

REJECTIONS = frozenset(
    {
        Reason.COUNT_CONFLICT,
        Reason.INDEX_TAKEN,
        Reason.NOTHING_LEFT,
        Reason.FUNCTION_TAKEN,
        Reason.RESOURCE_MISMATCH,
        Reason.INVALID_POLICY,
        Reason.TOO_LARGE,
        Reason.NAME_TAKEN,
        Reason.NEEDED_BY_MACHINE,
        Reason.TOO_MANY_VFS,
    }
)
"""Reasons that always mean: a policy must be edited. Of a policy's problems the status has no other word for that."""

WORST_FIRST = (
    Stand.UNKNOWN,
    Stand.FAILED,
    Stand.REJECTED,
    Stand.BLOCKED,
    Stand.CHANGING,
    Stand.WITHOUT_DEVICE,
    Stand.READY,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How something stands, and why."""

    stand: Stand
    reason: str
    message: str
    since: str = ""
    """RFC 3339; empty where it is not known."""


def policy_verdict(seen: PolicySeen) -> Verdict:
    """Return how a policy stands, all nodes together."""
    if seen.policy.ending:
        return _of(seen.ready, Stand.BLOCKED, Reason.BEING_DELETED, seen.policy.ending)
    if isinstance(seen.policy.config, Rejected):
        return _of(
            find(seen.conditions, ACCEPTED), Stand.REJECTED, seen.policy.config.reason, seen.policy.config.message
        )
    if (ready := seen.ready) is None:
        text = "the controller has written no status; are its pods running?"
        return Verdict(stand=Stand.UNKNOWN, reason="", message=text)
    if not seen.answered:
        text = "the controller has not answered the last edit yet"
        return Verdict(stand=Stand.CHANGING, reason=Reason.CHANGING, message=text)
    return _as(ready, _stand_of(seen, ready))


def _stand_of(seen: PolicySeen, ready: Condition) -> Stand:
    if ready.status == TRUE:
        return Stand.READY
    counted = (
        (Stand.FAILED, seen.counts.failed),
        (Stand.BLOCKED, seen.counts.blocked),
        (Stand.CHANGING, seen.counts.changing),
    )
    if (found := next((stand for stand, number in counted if number), None)) is not None:
        return found
    if any(it.type == ACCEPTED and it.status == FALSE for it in seen.conditions):
        return Stand.REJECTED
    return Stand.WITHOUT_DEVICE if ready.reason == Reason.NO_MATCHING_DEVICE else Stand.UNKNOWN


def node_verdict(seen: NodeSeen) -> Verdict:
    """Return how a node stands, all policies together."""
    state, ready = seen.state, seen.ready
    if state.unknown:
        return Verdict(stand=Stand.UNKNOWN, reason=Reason.UNREADABLE, message=state.unreadable)
    if ready is None:
        text = "its agent has not reported yet; does its pod run?"
        return Verdict(stand=Stand.UNKNOWN, reason="", message=text)
    if not state.heard:
        text = "its agent has not answered the last change of its spec yet"
        return Verdict(stand=Stand.CHANGING, reason=Reason.CHANGING, message=text, since=ready.last_transition_time)
    if ready.status == TRUE:
        return _as(ready, Stand.READY)
    outcomes = [Stand(outcome.state) for outcome in state.policies]
    return _as(ready, worst(it for it in (*outcomes, _by_reason(ready.reason)) if it not in _NO_CAUSE))


_NO_CAUSE = frozenset({Stand.READY, Stand.WITHOUT_DEVICE})


def _by_reason(reason: str) -> Stand:
    if reason in CALM:
        return Stand.CHANGING
    return Stand.BLOCKED if reason in (Reason.VFS_IN_USE, Reason.ANOTHER_WRITER) else Stand.FAILED


def outcome_verdict(policy: PolicySeen, node: NodeSeen) -> Verdict:
    """Return how a policy stands on one node."""
    if node.state.unknown:
        return Verdict(stand=Stand.UNKNOWN, reason=Reason.UNREADABLE, message=node.state.unreadable)
    outcome = node.state.by_uid.get(policy.policy.uid)
    if (told := _by_controller(policy, node, outcome)) is not None:
        return told
    # Of a policy that cannot be read, nodes carry out the last good generation.
    old = outcome is None or outcome.generation < policy.policy.generation
    if outcome is None or (old and not isinstance(policy.policy.config, Rejected)):
        text = "its agent has not reported on the policy's last edit yet"
        return Verdict(stand=Stand.CHANGING, reason=Reason.CHANGING, message=text)
    return Verdict(stand=_stand(outcome), reason=outcome.reason, message=outcome.message)


_OF_CONTROLLER = {Reason.TURN_LOST: Stand.FAILED, Reason.TOO_LARGE: Stand.REJECTED}
"""What the controller knows of a node and the node's own status does not say."""

_HELD_UP = {Reason.NODE_CORDONED: Stand.BLOCKED, Reason.EVICTION_BLOCKED: Stand.BLOCKED}
"""Why a node waits, which only the controller knows. It may be old as soon as the node says that it waits no more."""

_WAITS = frozenset({Reason.WAITING_FOR_TURN, Reason.EVICTING})


def _by_controller(policy: PolicySeen, node: NodeSeen, outcome: PolicyOutcome | None) -> Verdict | None:
    waits = outcome is not None and outcome.reason in _WAITS
    known = _OF_CONTROLLER | (_HELD_UP if waits else {})
    for problem in policy.problems:
        if problem.node == node.name and problem.reason in tuple(known):
            return Verdict(stand=known[Reason(problem.reason)], reason=problem.reason, message=problem.message)
    return None


def _stand(outcome: PolicyOutcome) -> Stand:
    blocked = outcome.state is State.CHANGING and outcome.reason in (Reason.VFS_IN_USE, Reason.ANOTHER_WRITER)
    return Stand.BLOCKED if blocked else Stand(outcome.state)


def worst(stands: Iterable[Stand]) -> Stand:
    """Return the worst of several; Ready of none."""
    return min(stands, key=WORST_FIRST.index, default=Stand.READY)


def _as(condition: Condition, stand: Stand) -> Verdict:
    return Verdict(
        stand=stand, reason=condition.reason, message=condition.message, since=condition.last_transition_time
    )


def _of(condition: Condition | None, stand: Stand, reason: str, message: str) -> Verdict:
    since = condition.last_transition_time if condition and condition.status == FALSE else ""
    return Verdict(stand=stand, reason=reason, message=message, since=since)
