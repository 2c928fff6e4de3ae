"""Node states -> the status of one policy. Pure; the time is the caller's."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from virtfn_host.core.reasons import Reason
from virtfn_host.core.wanted import PolicyConfig, Rejected
from virtfn_operator.api.conditions import ACCEPTED, FALSE, READY, TRUE, Condition, read_conditions, upsert
from virtfn_operator.api.node_state import NodeState
from virtfn_operator.api.node_status import PolicyOutcome, State, wire
from virtfn_operator.api.policy import Policy

PROBLEM_LIMIT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCounts:
    """Matching nodes by how the policy stands there; those where all of it is rejected are in `matching` only."""

    matching: int
    ready: int
    changing: int
    blocked: int
    failed: int
    without_device: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One node where the policy is not carried out, and why."""

    node: str
    device: str | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySummary:
    """For the columns of `kubectl get svp`."""

    resources: str
    """`virtfn.dev/fast,virtfn.dev/slow`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStatus:
    """SriovPolicy.status, field for field as the wire has it."""

    observed_generation: int
    nodes: NodeCounts
    problems: tuple[Problem, ...]
    summary: PolicySummary
    conditions: tuple[Condition, ...]


def policy_status(policy: Policy, nodes: Sequence[NodeState], old: Mapping[str, Any], now: str) -> dict[str, Any]:
    """The status of a policy.

    Args:
        nodes: the states of the nodes that are asked to carry it out.
        old: the status it has, for when its conditions last changed.
    """
    seen = [(node, _outcome(policy, node)) for node in sorted(nodes, key=lambda node: node.name)]
    rejections = [(node.name, r) for node, _ in seen for r in node.rejected if _refusal(r, policy)]
    accepted = _accepted(policy, rejections)
    conditions = upsert(read_conditions(old), accepted, now)
    conditions = upsert(conditions, _ready(policy, accepted, [outcome for _, outcome in seen]), now)
    resources = {p.resource_name for p in policy.config.pools} if isinstance(policy.config, PolicyConfig) else set()
    status = PolicyStatus(
        observed_generation=policy.generation,
        nodes=_counts([outcome for _, outcome in seen]),
        problems=_problems(seen, rejections),
        summary=PolicySummary(resources=",".join(sorted(resources))),
        conditions=conditions,
    )
    document: dict[str, Any] = wire(status)
    return document


def _outcome(policy: Policy, node: NodeState) -> PolicyOutcome:
    """What the node says of this policy; nothing about this generation yet counts as changing."""
    found = next((outcome for outcome in node.policies if outcome.uid == policy.uid), None)
    # Of a policy that cannot be read, nodes carry out the last good generation.
    if found and (isinstance(policy.config, Rejected) or found.generation >= policy.generation):
        return found
    return PolicyOutcome(
        name=policy.name,
        uid=policy.uid,
        generation=0,
        state=State.CHANGING,
        reason=Reason.CHANGING,
        message="the agent has not reported on it yet",
        device=None,
    )


def _refusal(rejected: Rejected, policy: Policy) -> bool:
    return rejected.policy == policy.name and rejected.reason != Reason.NO_MATCHING_DEVICE


def _counts(outcomes: Sequence[PolicyOutcome]) -> NodeCounts:
    number = Counter(outcome.state for outcome in outcomes)
    return NodeCounts(
        matching=len(outcomes),
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
    return tuple(found[:PROBLEM_LIMIT])


def _accepted(policy: Policy, rejections: Sequence[tuple[str, Rejected]]) -> Condition:
    if isinstance(policy.config, Rejected):
        text = f"{policy.config.message}; nodes keep what this policy asked of them before"
        return _condition(policy, ACCEPTED, FALSE, policy.config.reason, text)
    if rejections:
        node, first = rejections[0]
        more = f" (and {len(rejections) - 1} more)" if len(rejections) > 1 else ""
        return _condition(policy, ACCEPTED, FALSE, first.reason, f"node {node}: {first.message}{more}")
    return _condition(policy, ACCEPTED, TRUE, Reason.CONVERGED, "every claim stands")


def _ready(policy: Policy, accepted: Condition, outcomes: Sequence[PolicyOutcome]) -> Condition:
    for state in (State.FAILED, State.BLOCKED, State.CHANGING):
        if concerned := [outcome for outcome in outcomes if outcome.state == state]:
            text = f"{len(concerned)} of {len(outcomes)} nodes {state.lower()}: {concerned[0].message}"
            return _condition(policy, READY, FALSE, concerned[0].reason or state, text)
    if accepted.status == FALSE:
        return _condition(policy, READY, FALSE, accepted.reason, accepted.message)
    ready = sum(outcome.state == State.READY for outcome in outcomes)
    if not outcomes:
        text = "no node that runs the agent matches spec.nodeSelector"
        return _condition(policy, READY, FALSE, Reason.NO_MATCHING_DEVICE, text)
    if not ready:
        text = f"none of {len(outcomes)} matching nodes has a device that spec.devices matches"
        return _condition(policy, READY, FALSE, Reason.NO_MATCHING_DEVICE, text)
    return _condition(policy, READY, TRUE, Reason.CONVERGED, f"{ready} of {len(outcomes)} nodes are as asked")


def _condition(policy: Policy, kind: str, status: str, reason: str, message: str) -> Condition:
    return Condition(
        type=kind, status=status, reason=str(reason), message=message, observed_generation=policy.generation
    )
