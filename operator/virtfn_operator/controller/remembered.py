"""What the statuses of policies say of nodes whose SriovNode does not say it any more. Pure.

The note on a turn goes with the SriovNode, and that goes with its Node. Automatic remediation deletes the Node of a
machine that does not work: then a policy that breaks machines would break one after the other. So a failure that
`status.rollout` names is believed until a node of that name is well, until the policy is edited, and, of a node that is
not asked to carry it out now, until an administrator resumes the rollout after a pause. A turn that it names is
believed until its agent has answered the new SriovNode.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from virtfn_operator.api.foreign import mapping, number, text
from virtfn_operator.api.policy import NAME_LIMIT, OnFailure, Policy
from virtfn_operator.api.selector import matches
from virtfn_operator.controller import turns
from virtfn_operator.controller.see import SeenPolicy, SeenState

NODES_LIMIT = 20
"""Nodes that a status names of those that have a turn, and of those that wait."""

_States = Callable[[str], SeenState | None]
_Labels = Callable[[str], Mapping[str, str] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What is believed of statuses."""

    stopped_by: Mapping[str, str] = field(default_factory=dict)
    """By policy, the node whose failure stops it."""
    turns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By policy, the nodes whose SriovNode was deleted in their turn: they may be in the middle of a change."""

    def stopped_for(self, node: str) -> frozenset[str]:
        """Return the policies that another node has stopped."""
        return frozenset(policy for policy, by in self.stopped_by.items() if by != node)


NOTHING = Remembered()


def remembered(policies: Iterable[SeenPolicy], states: _States, labels: _Labels) -> Remembered:
    """Return what is believed.

    Args:
        policies: all policies.
        states: returns the SriovNode of a Node, or None.
        labels: returns the labels of a Node, or None.
    """
    stopped_by, having = {}, {}
    for policy, rollout in _as_asked_now(policies):
        resumed = rollout.get("paused") is True and not policy.paused
        node = text(rollout.get("stoppedBy"), NAME_LIMIT)
        if node and _stops(policy, states(node), resumed=resumed):
            stopped_by[policy.name] = node
        if not resumed and (left := tuple(_left(policy, rollout.get("turns"), states, labels))):
            having[policy.name] = left
    return Remembered(stopped_by=stopped_by, turns=having)


def _as_asked_now(policies: Iterable[SeenPolicy]) -> Iterator[tuple[Policy, Mapping[str, Any]]]:
    """Yield the policies that were not edited since their status was written, with `status.rollout`."""
    for seen in policies:
        status, policy = mapping(seen.body.get("status")), seen.policy
        rollout = mapping(status.get("rollout"))
        if rollout and policy and not policy.ending and number(status.get("observedGeneration")) == policy.generation:
            yield policy, rollout


def _stops(policy: Policy, seen: SeenState | None, *, resumed: bool) -> bool:
    asked = seen is not None and seen.state.spec is not None and policy.uid in seen.state.spec.uids
    well = seen is not None and policy.uid in turns.well(seen.state)
    return policy.on_failure is OnFailure.STOP and not well and (asked or not resumed)


def _left(policy: Policy, names: object, states: _States, labels: _Labels) -> Iterator[str]:
    """Yield the nodes of a policy that stand and have no SriovNode, or a new one that was not answered yet."""
    for name in names[:NODES_LIMIT] if isinstance(names, list) else ():
        found = labels(name) if isinstance(name, str) else None
        if found is not None and matches(policy.selector, found) and _is_new(states(name)):
            yield name


def _is_new(seen: SeenState | None) -> bool:
    if seen is None:
        return True
    noted, state = seen.last > 0 or seen.promised, seen.state
    return not (noted or state.has_turn or (state.heard and state.spec is not None))
