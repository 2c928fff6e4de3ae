"""Reads SriovPolicies with their statuses. Another version may have written a status: unreadable counts as absent."""

from collections.abc import Mapping
from typing import Any

from virtfn_kubectl.read.fleet import CountsSeen, PolicySeen, ProblemSeen, RolloutSeen
from virtfn_operator.api.conditions import MESSAGE_LIMIT, read_conditions
from virtfn_operator.api.foreign import entries, mapping, number, optional_text, text
from virtfn_operator.api.policy import read_policy

PROBLEMS_LIMIT = 20
"""The schema's bound."""
NAMES_LIMIT = 20
"""The schema's bound of each list of nodes in `status.rollout`."""


def read_policy_seen(body: Mapping[str, Any]) -> PolicySeen:
    """Read a SriovPolicy as the API server gives it."""
    policy, status = read_policy(body), mapping(body.get("status"))
    return PolicySeen(
        policy=policy,
        answered=(number(status.get("observedGeneration")) or 0) >= policy.generation,
        counts=_counts(mapping(status.get("nodes"))),
        problems=tuple(_problem(item) for item in entries(status.get("problems"), PROBLEMS_LIMIT)),
        conditions=read_conditions(status),
        rollout=_rollout(mapping(status.get("rollout"))),
    )


def _rollout(found: Mapping[str, Any]) -> RolloutSeen:
    return RolloutSeen(
        turns=_names(found.get("turns")),
        waiting=number(found.get("waiting")) or 0,
        next=_names(found.get("next")),
        paused=found.get("paused") is True,
        stopped_by=text(found.get("stoppedBy"), 253),
    )


def _names(value: object) -> tuple[str, ...]:
    listed = value[:NAMES_LIMIT] if isinstance(value, list) else []
    return tuple(it[:253] for it in listed if isinstance(it, str))


def _counts(nodes: Mapping[str, Any]) -> CountsSeen:
    return CountsSeen(
        matching=number(nodes.get("matching")) or 0,
        ready=number(nodes.get("ready")) or 0,
        changing=number(nodes.get("changing")) or 0,
        blocked=number(nodes.get("blocked")) or 0,
        failed=number(nodes.get("failed")) or 0,
        without_device=number(nodes.get("withoutDevice")) or 0,
    )


def _problem(item: Mapping[str, Any]) -> ProblemSeen:
    return ProblemSeen(
        node=text(item.get("node"), 253),
        device=optional_text(item.get("device"), 256),
        reason=text(item.get("reason"), 253),
        message=text(item.get("message"), MESSAGE_LIMIT),
    )
