"""Reads SriovPolicies with their statuses. Another version may have written a status: unreadable counts as absent."""

from collections.abc import Mapping
from typing import Any

from virtfn_kubectl.read.fleet import CountsSeen, PolicySeen, ProblemSeen
from virtfn_operator.api.conditions import MESSAGE_LIMIT, read_conditions
from virtfn_operator.api.foreign import entries, mapping, number, optional_text, text
from virtfn_operator.api.policy import read_policy

PROBLEMS_LIMIT = 20
"""The schema's bound."""


def read_policy_seen(body: Mapping[str, Any]) -> PolicySeen:
    """Read a SriovPolicy as the API server gives it."""
    policy, status = read_policy(body), mapping(body.get("status"))
    return PolicySeen(
        policy=policy,
        answered=(number(status.get("observedGeneration")) or 0) >= policy.generation,
        counts=_counts(mapping(status.get("nodes"))),
        problems=tuple(_problem(item) for item in entries(status.get("problems"), PROBLEMS_LIMIT)),
        conditions=read_conditions(status),
    )


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
