"""Everything the API server lists -> everything to write. Pure: one look at the world, one set of writes.

Nodes without a Node object are left alone: the API server collects their SriovNode, and labels that are unknown must
not be taken for labels that are absent. An object that cannot be read is left out and told of; it stops no other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from virtfn_host.core.wanted import NodeConfig
from virtfn_operator.api import NODES, POLICIES
from virtfn_operator.api.conditions import Transition, read_conditions, transitions
from virtfn_operator.api.node_state import NodeState, read_node, write_spec
from virtfn_operator.api.patch import merge_patch
from virtfn_operator.api.policy import Policy, read_policy
from virtfn_operator.controller.merge import Node, merge
from virtfn_operator.controller.rollout import Turn, may_change
from virtfn_operator.controller.status import policy_status

Body = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Fresh lists of the three kinds; of nodes only the metadata is needed."""

    policies: Sequence[Body]
    states: Sequence[Body]
    nodes: Sequence[Body]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A merge patch for one object, and the events it deserves once it is written."""

    plural: str
    name: str
    subresource: str
    patch: Mapping[str, Any]
    about: Body
    transitions: tuple[Transition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to write, and one line for every object that could not be read."""

    writes: tuple[Write, ...]
    unreadable: tuple[str, ...]


def decide(world: World, now: str) -> Decision:
    """Merge, take turns, sum up; what is already so is not written."""
    unreadable: list[str] = []
    living = [body for body in world.policies if not (body.get("metadata") or {}).get("deletionTimestamp")]
    policies = _read(living, read_policy, "SriovPolicy", unreadable)
    labels = {str(body["metadata"]["name"]): body["metadata"].get("labels") or {} for body in world.nodes}
    present = [body for body in world.states if (body.get("metadata") or {}).get("name") in labels]
    states = _read(present, read_node, "SriovNode", unreadable)
    nodes = [Node(name=s.name, labels=labels[s.name], config=_asked(s)) for s, _ in states]
    configs = merge([policy for policy, _ in policies], nodes).configs
    turns = [_turn(state, configs[state.name]) for state, _ in states]
    grants = may_change(turns, {policy.name: policy.max_unavailable for policy, _ in policies})
    writes = [_spec_write(state, body, configs[state.name], grants[state.name]) for state, body in states]
    writes += [_status_write(policy, body, [s for s, _ in states], configs, now) for policy, body in policies]
    return Decision(writes=tuple(write for write in writes if write), unreadable=tuple(unreadable))


def _read(bodies: Iterable[Body], read: Callable[[Body], T], kind: str, unreadable: list[str]) -> list[tuple[T, Body]]:
    found = []
    for body in bodies:
        try:
            found.append((read(body), body))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            name = (body.get("metadata") or {}).get("name")
            unreadable.append(f"{kind} {name} is left out, it cannot be read: {error!r}")
    return found


def _asked(state: NodeState) -> NodeConfig:
    return state.spec.config if state.spec else NodeConfig(policies=())


def _turn(state: NodeState, config: NodeConfig) -> Turn:
    granted = state.spec is not None and state.spec.may_change
    heard = state.observed_generation >= state.generation
    return Turn(
        node=state.name,
        policies=tuple(policy.name for policy in config.policies),
        granted=granted,
        wants=heard and state.disruptive and config == _asked(state),
        settled=heard and not state.disruptive,
    )


def _spec_write(state: NodeState, body: Body, config: NodeConfig, granted: bool) -> Write | None:
    patch = merge_patch(body.get("spec") or {}, write_spec(config, granted))
    if not patch:
        return None
    return Write(plural=NODES, name=state.name, subresource="", patch={"spec": patch}, about=body)


def _status_write(
    policy: Policy, body: Body, states: Sequence[NodeState], configs: Mapping[str, NodeConfig], now: str
) -> Write | None:
    old = body.get("status") or {}
    asked = [s for s in states if any(claim.uid == policy.uid for claim in configs[s.name].policies)]
    status = policy_status(policy, asked, old, now)
    patch = merge_patch(old, status)
    if not patch:
        return None
    changed = transitions(read_conditions(old), read_conditions(status))
    return Write(
        plural=POLICIES,
        name=policy.name,
        subresource="status",
        patch={"status": patch},
        about=body,
        transitions=changed,
    )
