"""The status of one policy, from the states of its nodes. Pure; the caller passes the time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from virtfn_host.core.values.desired import PolicyConfig, Rejected
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.api.bounds import Device, Message, Most, Name, Word, cut_text
from virtfn_operator.api.conditions import (
    ACCEPTED,
    FALSE,
    MESSAGE_LIMIT,
    READY,
    TRUE,
    Condition,
    read_conditions,
    upsert,
)
from virtfn_operator.api.node_state import NodeState
from virtfn_operator.api.node_status import PolicyOutcome, State, wire
from virtfn_operator.api.policy import Policy
from virtfn_operator.controller.remembered import NODES_LIMIT
from virtfn_operator.controller.rollout import Rollout
from virtfn_operator.controller.seats import WaitsFor

PROBLEM_LIMIT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCounts:
    """Matching nodes by how the policy stands there; nodes that reject all of it count in `matching` only."""

    matching: int
    ready: int
    changing: int
    blocked: int
    failed: int
    without_device: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One node where the policy is not carried out, and why."""

    node: Name
    device: Device | None
    reason: Word
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySummary:
    """The columns of `kubectl get svp`."""

    resources: Annotated[str, Most(32768)]
    """Resource names, like `virtfn.dev/fast,virtfn.dev/slow`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStatus:
    """Who has a turn and who is next, while nodes take turns."""

    turns: Annotated[tuple[Name, ...], Most(NODES_LIMIT)]
    """Nodes that have a turn, by name."""
    waiting: int
    """How many nodes wait for a turn."""
    next: Annotated[tuple[Name, ...], Most(NODES_LIMIT)]
    """The first of them, in their order."""
    paused: bool
    """Whether the annotation virtfn.dev/paused holds all further turns."""
    stopped_by: Name | None
    """The node whose failure holds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStatus:
    """SriovPolicy.status, field for field as in JSON."""

    observed_generation: int
    nodes: NodeCounts
    problems: Annotated[tuple[Problem, ...], Most(PROBLEM_LIMIT)]
    summary: PolicySummary
    rollout: RolloutStatus | None
    """None while no node has or wants a turn."""
    conditions: Annotated[tuple[Condition, ...], Most(16)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What the controller knows of nodes that they do not report themselves."""

    lost: Mapping[str, str] = field(default_factory=dict)
    """By node that lost its turn, why."""
    left_out: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By node, the uids of policies for which its SriovNode has no room."""
    known: Mapping[str, WaitsFor] = field(default_factory=dict)
    """By node, why it waits, where the controller knows that better."""
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    """By policy."""


ROOM = (
    "the policies of this node are more than one SriovNode holds, so this one, or its last edit, is left out there;"
    " ask for fewer pools and ranges, or for fewer policies"
)
NOBODY_BESIDE = Beside()
NO_ROLLOUT = Rollout()

Calm = Mapping[State, int]
"""Nodes that a status only counts, by how the policy stands there."""

NO_MORE: Calm = {}


def policy_status(
    policy: Policy,
    nodes: Sequence[NodeState],
    old: Mapping[str, Any],
    now: str,
    beside: Beside = NOBODY_BESIDE,
    calm: Calm = NO_MORE,
) -> dict[str, Any]:
    """Return the status of a policy as JSON.

    Args:
        policy: the policy.
        nodes: the states of the nodes that are asked to carry it out, except those in `calm`.
        old: its present status, which tells when conditions last changed.
        now: RFC 3339.
        beside: what the nodes do not report themselves.
        calm: how many more nodes are asked to carry it out that are `only_counted`.
    """
    seen = [(node, _outcome(policy, node, beside)) for node in sorted(nodes, key=lambda node: node.name)]
    rejections = [(node.name, r) for node, outcome in seen for r in _rejections(policy, node, outcome)]
    accepted = _accepted(policy, rejections)
    conditions = upsert(read_conditions(old), accepted, now)
    counts = _counts([outcome for _, outcome in seen], calm)
    conditions = upsert(conditions, _ready(policy, accepted, [outcome for _, outcome in seen], counts), now)
    resources = set(policy.config.resource_names) if isinstance(policy.config, PolicyConfig) else set()
    status = PolicyStatus(
        observed_generation=policy.generation,
        nodes=counts,
        problems=_problems(seen, rejections),
        summary=PolicySummary(resources=",".join(sorted(resources))),
        rollout=_rollout(beside.rollouts.get(policy.name)),
        conditions=conditions,
    )
    document: dict[str, Any] = _without_empty(wire(status))
    return document


def _without_empty(status: dict[str, Any]) -> dict[str, Any]:
    """Leave out lists with nothing in them, those of the rollout too."""
    kept = {key: value for key, value in status.items() if value != []}
    return {key: _without_empty(value) if key == "rollout" else value for key, value in kept.items()}


def only_counted(policy: Policy, node: NodeState, beside: Beside) -> State | None:
    """Return how the policy stands on a node where only the number matters; None where the status says more of it."""
    outcome = _outcome(policy, node, beside)
    calm = outcome.state in (State.READY, State.WITHOUT_DEVICE) and not node.unknown and not node.disruptive
    told = _noted(outcome) or _rejections(policy, node, outcome)
    return outcome.state if calm and not told else None


def _noted(outcome: PolicyOutcome) -> bool:
    """Whether a node where the policy stands well has something to say all the same."""
    return outcome.state is State.READY and outcome.reason not in ("", Reason.CONVERGED)


def _outcome(policy: Policy, node: NodeState, beside: Beside) -> PolicyOutcome:
    """How this policy stands there; without a report on this generation it counts as changing."""
    if policy.uid in beside.left_out.get(node.name, ()):
        return _said(policy, State.REJECTED, Reason.TOO_LARGE, ROOM)
    if node.name in beside.lost:
        return _said(policy, State.FAILED, Reason.TURN_LOST, beside.lost[node.name])
    if node.unknown:
        return _said(policy, State.CHANGING, Reason.UNREADABLE, f"its SriovNode cannot be read: {node.unreadable}")
    found = node.by_uid.get(policy.uid)
    # For a policy that cannot be read, nodes carry out its last good generation.
    if found and (isinstance(policy.config, Rejected) or found.generation >= policy.generation):
        return _better(found, policy, node.name, beside)
    return _said(policy, State.CHANGING, Reason.CHANGING, "the agent has not reported on it yet")


def _better(found: PolicyOutcome, policy: Policy, node: str, beside: Beside) -> PolicyOutcome:
    """Add to what an agent says of a wait what only the controller knows."""
    if found.reason not in (Reason.WAITING_FOR_TURN, Reason.EVICTING):
        return found
    if (known := beside.known.get(node)) is not None:
        state, reason, message = known
        return replace(found, state=state, reason=reason, message=message)
    rollout = beside.rollouts.get(policy.name, NO_ROLLOUT)
    if found.reason == Reason.WAITING_FOR_TURN and node in rollout.places:
        return replace(found, message=_waiting(rollout, policy, node))
    return found


def _waiting(rollout: Rollout, policy: Policy, node: str) -> str:
    text = f"position {rollout.places[node]} of {len(rollout.waiting)}"
    if rollout.paused:
        return f"{text}; the rollout is paused: `kubectl virtfn rollout resume {policy.name}`"
    if rollout.stopped_by not in ("", node):
        return f"{text}; the rollout has stopped, because node {rollout.stopped_by} failed in its turn"
    if rollout.turns:
        more = f" and {len(rollout.turns) - 1} more have their" if len(rollout.turns) > 1 else " has its"
        return f"{text}; node {rollout.turns[0]}{more} turn"
    return f"{text}; another policy of this node is paused, has stopped or has no room"


def _rollout(found: Rollout | None) -> RolloutStatus | None:
    if found is None:
        return None
    return RolloutStatus(
        turns=found.turns[:NODES_LIMIT],
        waiting=len(found.waiting),
        next=found.waiting[:NODES_LIMIT],
        paused=found.paused,
        stopped_by=found.stopped_by or None,
    )


def _said(policy: Policy, state: State, reason: Reason, message: str) -> PolicyOutcome:
    return PolicyOutcome(
        name=policy.name, uid=policy.uid, generation=0, state=state, reason=reason, message=message, device=None
    )


def _rejections(policy: Policy, node: NodeState, outcome: PolicyOutcome) -> list[Rejected]:
    """What is refused of the policy there. An agent lists some rejections only, but says how every policy stands.

    It lists them by name. While it knows another policy of this name only, they are that one's.
    """
    of_another = policy.uid not in node.by_uid and any(o.name == policy.name for o in node.policies)
    named = () if of_another else node.refusals.get(policy.name, ())
    said = [r for r in named if r.reason != Reason.NO_MATCHING_DEVICE]
    if outcome.state is State.REJECTED and (not said or outcome.reason == Reason.TOO_LARGE):
        message = outcome.message or outcome.reason  # a shortened status has no message
        reason = Reason(outcome.reason or Reason.UNREADABLE)
        said.append(Rejected(policy=policy.name, device=outcome.device, reason=reason, message=message))
    return said


def _counts(outcomes: Sequence[PolicyOutcome], calm: Calm) -> NodeCounts:
    number = Counter(outcome.state for outcome in outcomes) + Counter(calm)
    return NodeCounts(
        matching=number.total(),
        ready=number[State.READY],
        changing=number[State.CHANGING],
        blocked=number[State.BLOCKED],
        failed=number[State.FAILED],
        without_device=number[State.WITHOUT_DEVICE],
    )


def _problems(
    seen: Sequence[tuple[NodeState, PolicyOutcome]], rejections: Sequence[tuple[str, Rejected]]
) -> tuple[Problem, ...]:
    found = [
        Problem(node=node.name, device=outcome.device, reason=outcome.reason, message=outcome.message)
        for state in (State.FAILED, State.BLOCKED)
        for node, outcome in seen
        if outcome.state == state
    ]
    found += [Problem(node=node, device=r.device, reason=r.reason, message=r.message) for node, r in rejections]
    found += [
        Problem(node=node.name, device=outcome.device, reason=outcome.reason, message=outcome.message)
        for node, outcome in seen
        if _noted(outcome)
    ]
    found += [
        Problem(node=node.name, device=None, reason=outcome.reason, message=outcome.message)
        for node, outcome in seen
        if node.unknown and outcome.reason == Reason.UNREADABLE
    ]
    return tuple(
        replace(problem, reason=problem.reason or Reason.UNREADABLE, message=cut_text(problem.message, MESSAGE_LIMIT))
        for problem in found[:PROBLEM_LIMIT]
    )


def _accepted(policy: Policy, rejections: Sequence[tuple[str, Rejected]]) -> Condition:
    if policy.ending:
        return _condition(policy, ACCEPTED, FALSE, Reason.BEING_DELETED, policy.ending)
    if isinstance(policy.config, Rejected):
        text = f"{policy.config.message}; nodes keep what this policy asked of them before"
        return _condition(policy, ACCEPTED, FALSE, policy.config.reason, text)
    if rejections:
        node, first = rejections[0]
        more = f" (and {len(rejections) - 1} more)" if len(rejections) > 1 else ""
        return _condition(policy, ACCEPTED, FALSE, first.reason, f"node {node}: {first.message}{more}")
    return _condition(policy, ACCEPTED, TRUE, Reason.CONVERGED, "every claim stands")


def _ready(policy: Policy, accepted: Condition, outcomes: Sequence[PolicyOutcome], counts: NodeCounts) -> Condition:
    for state in (State.FAILED, State.BLOCKED, State.CHANGING):
        if concerned := [outcome for outcome in outcomes if outcome.state == state]:
            text = f"{len(concerned)} of {counts.matching} nodes {state.lower()}: {concerned[0].message}"
            return _condition(policy, READY, FALSE, concerned[0].reason or Reason.UNREADABLE, text)
    if accepted.status == FALSE:
        return _condition(policy, READY, FALSE, accepted.reason, accepted.message)
    if not counts.matching:
        text = "no node that runs the agent matches spec.nodeSelector"
        return _condition(policy, READY, FALSE, Reason.NO_MATCHING_DEVICE, text)
    if not counts.ready:
        text = f"none of {counts.matching} matching nodes has a device that spec.devices matches"
        return _condition(policy, READY, FALSE, Reason.NO_MATCHING_DEVICE, text)
    return _condition(policy, READY, TRUE, Reason.CONVERGED, f"{counts.ready} of {counts.matching} nodes are as asked")


def _condition(policy: Policy, kind: str, status: str, reason: str, message: str) -> Condition:
    return Condition(
        type=kind, status=status, reason=str(reason), message=message, observed_generation=policy.generation
    )
