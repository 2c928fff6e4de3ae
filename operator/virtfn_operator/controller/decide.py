"""Decides everything to write from everything the API server lists. Pure: one look, one set of writes.

This is what is decided. `Decider` (decider.py) decides the same one change at a time; a proof compares the two.

SriovNodes without a Node are left alone: the API server collects them, and unknown labels must not count as absent. An
object that cannot be read stops no other: a policy keeps what it had, a SriovNode counts as changing, and each is
reported. The cost of one object is bounded by counts before it is read (`core/turn/policy.py`, `api/node_state.py`,
`merge.py`), so no time is measured here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from virtfn_host.core.values.resource_names import Domains
from virtfn_operator.api import NODES, POLICIES
from virtfn_operator.api.conditions import Transition, read_conditions, transitions
from virtfn_operator.api.foreign import ERRORS, mapping
from virtfn_operator.api.node_state import NodeState, Wires, write_spec
from virtfn_operator.api.patch import merge_patch
from virtfn_operator.api.policy import Policy
from virtfn_operator.controller import turns
from virtfn_operator.controller.evict import NO_FACTS, Eviction, Facts
from virtfn_operator.controller.merge import Merged, Node, merge
from virtfn_operator.controller.remembered import Remembered, remembered
from virtfn_operator.controller.rollout import Rollout, may_change, rollouts_of
from virtfn_operator.controller.seats import Moment, Seat, note, said, seat
from virtfn_operator.controller.see import (
    Body,
    Once,
    SeenNode,
    SeenPolicy,
    SeenState,
    name_of,
    see_node,
    see_policy,
    see_state,
)
from virtfn_operator.controller.status import NO_MORE, Beside, Calm, policy_status


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Fresh lists of the three kinds; nodes need their metadata only."""

    policies: Sequence[Body]
    states: Sequence[Body]
    nodes: Sequence[Body]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenWorld:
    """The same, read."""

    policies: Sequence[SeenPolicy]
    states: Sequence[SeenState]
    nodes: Sequence[SeenNode]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings of the installation."""

    domains: Domains = frozenset()
    """Domains that resource names may have beside virtfn.dev."""
    turn_timeout: float = turns.TIMEOUT
    """Seconds that a node may be silent in its turn."""
    grace: float = turns.GRACE
    """Seconds that evictions may be refused in a turn."""
    pause: float = turns.PAUSE
    """Seconds until the next turn after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A merge patch for one object, and the events to post once it is written."""

    plural: str
    name: str
    subresource: str
    patch: Mapping[str, Any]
    about: Body
    transitions: tuple[Transition, ...] = ()
    turn: bool | None = None
    """True where it grants a turn, False where it ends one. Such a patch is good only for the version decided from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to write, and one line for every object that could not be read."""

    writes: tuple[Write, ...]
    unreadable: tuple[str, ...]
    evictions: tuple[Eviction, ...] = ()
    """Pods to evict after the writes."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Why evictions do not go on, by node; to be remembered for the time when the node has no turn any more."""
    rollouts: Mapping[str, Rollout] = field(default_factory=dict, compare=False)
    """By policy, who has a turn and who waits, for `kubectl virtfn plan`; filled by `decide` only."""


DEFAULT = Rules()


def decide(
    world: World, now: str, rules: Rules = DEFAULT, *, jumped: bool = False, facts: Facts = NO_FACTS
) -> Decision:
    """Merge policies, give turns, sum up statuses; return only what differs from the objects.

    Args:
        world: what the API server lists.
        now: RFC 3339, the controller's own clock.
        rules: the settings of the installation.
        jumped: whether that clock was set since the last look.
        facts: what is known of Nodes and pods.
    """
    return decide_all(see(world, rules), now, rules, jumped=jumped, facts=facts)


def see(world: World, rules: Rules = DEFAULT) -> SeenWorld:
    """Read what the API server lists."""
    shared = Once()
    policies = [see_policy(body, rules.domains) for body in world.policies]
    return SeenWorld(
        policies=[policy for policy in policies if policy is not None],
        states=[see_state(body, shared) for body in world.states],
        nodes=[see_node(body, shared) for body in world.nodes],
    )


def decide_all(
    seen: SeenWorld, now: str, rules: Rules = DEFAULT, *, jumped: bool = False, facts: Facts = NO_FACTS
) -> Decision:
    """Decide as `decide` does, from what is read already."""
    unreadable = [policy.why for policy in seen.policies if policy.why]
    unreadable += [line for node in seen.nodes if (line := label_trouble(node))]
    policies = [(seen_one.policy, seen_one) for seen_one in seen.policies if seen_one.policy is not None]
    asking = [policy for policy, _ in policies if not policy.ending]
    labels = {node.name: node.labels for node in seen.nodes if node.name and node.labels is not None}
    states = [state for state in seen.states if state.name in labels]
    unreadable += [line for state in states if (line := state_trouble(state))]
    wires = Wires()
    nodes = [merging(state, labels[state.name]) for state in states]
    # A policy that cannot be read is not deleted: its functions are not given back.
    merged = merge(asking, nodes, wires=wires, lost=len(policies) < len(seen.policies))
    unreadable += [kept_trouble(name) for name in merged.untouched]
    moment = Moment(
        clock=read_time(now),
        jumped=jumped,
        turn_timeout=rules.turn_timeout,
        grace=rules.grace,
        pause=rules.pause,
        number=turns.following(state.last for state in seen.states),
        policies={p.name: p for p in asking},
        wires=wires,
        facts=facts,
    )
    seats = [seat(state, merged.configs[state.name], moment) for state in states]
    told = remembered(seen.policies, {state.name: state for state in states}.get, labels.get)
    grants = may_change(
        [one.turn for one in seats],
        {p.name: p.max_unavailable for p in asking},
        paused={p.name for p in asking if p.paused},
        told=told,
    )
    asked, beside = _asked(seats, merged), _beside(seats, merged, grants, moment, told)
    writes = [
        *(guarded(one.body, partial(spec_write, one, grants, merged, moment), unreadable) for one in seats),
        *(
            guarded(one.body, partial(status_write, policy, one, asked, beside, now), unreadable)
            for policy, one in policies
        ),
    ]
    return Decision(
        writes=tuple(write for write in writes if write),
        unreadable=tuple(unreadable),
        evictions=evictions_of(seats, grants),
        refusals=refusals_of(seats),
        rollouts=beside.rollouts,
    )


def evictions_of(seats: Iterable[Seat], grants: Mapping[str, bool]) -> tuple[Eviction, ...]:
    """Return the pods to evict now, of nodes that keep their turn."""
    granted = (one for one in seats if grants[one.state.name])
    return tuple(Eviction(node=one.state.name, pod=pod) for one in granted for pod in one.evicting.now)


def refusals_of(seats: Iterable[Seat]) -> dict[str, str]:
    """Return why evictions do not go on, by node."""
    return {one.state.name: one.evicting.why[1] for one in seats if one.evicting.why is not None}


def read_time(now: str) -> datetime:
    """Parse the caller's time; an invalid text gives the year 1970, so that no turn ends because of it."""
    try:
        return turns.read_time(now)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def merging(seen: SeenState, labels: Mapping[str, str]) -> Node:
    """Return a node as `merge` wants it."""
    return Node(name=seen.name, labels=labels, asked=seen.state.spec, garbled=seen.state.garbled)


def label_trouble(node: SeenNode) -> str:
    """Return the line about a Node that cannot be read; empty where it can."""
    if node.name and node.labels is not None:
        return ""
    return f"Node {node.name or 'without a name'} is left alone, its labels cannot be read"


def state_trouble(seen: SeenState) -> str:
    """Return the line about a SriovNode that cannot be read; empty where it can."""
    return f"SriovNode {seen.name} counts as changing: {seen.state.unreadable}" if seen.state.unreadable else ""


def kept_trouble(name: str) -> str:
    """Return the line about a SriovNode whose spec stays as it is."""
    return f"SriovNode {name} keeps its spec: what it is asked cannot be read"


def guarded(body: Body, write: Callable[[], Write | None], unreadable: list[str]) -> Write | None:
    """Decide one write; an error over this object must not stop the others."""
    try:
        return write()
    except ERRORS as error:
        unreadable.append(f"{name_of(body)[:253]} is not written, it cannot be decided: {error!r:.200}")
        return None


def _asked(seats: Sequence[Seat], merged: Merged) -> dict[str, list[NodeState]]:
    """The nodes of each policy, by its uid, including nodes that have no room for it."""
    found: dict[str, list[NodeState]] = {}
    for one in seats:
        for uid in uids_of(one, merged):
            found.setdefault(uid, []).append(one.state)
    return found


def uids_of(one: Seat, merged: Merged) -> frozenset[str]:
    """Return the uids of the policies of a node, including those that it has no room for."""
    uids = {policy.uid for policy in one.config.policies} | merged.left_out.get(one.state.name, frozenset())
    kept = one.state.spec.uids if one.state.name in merged.untouched and one.state.spec else frozenset()
    return frozenset(uids | kept)


def _beside(
    seats: Sequence[Seat], merged: Merged, grants: Mapping[str, bool], moment: Moment, told: Remembered
) -> Beside:
    """What nodes do not report themselves: lost turns, why they wait, and policies that were left out."""
    lost = {one.state.name: why for one in seats if (why := lost_turn(one))}
    words = ((one.state.name, said(one, moment, granted=grants[one.state.name])) for one in seats)
    known = {name: found for name, found in words if found is not None}
    rollouts = rollouts_of([one.turn for one in seats], grants, moment.policies, told)
    return Beside(lost=lost, left_out=merged.left_out, known=known, rollouts=rollouts)


def lost_turn(one: Seat) -> str:
    """Return why a node lost its turn, until it has answered; empty where it did not."""
    kept = one.kept
    silent = kept is not None and kept.lost and not turns.has_answered(kept, one.state)
    return turns.why(kept) if kept is not None and (one.turn.lost or silent) else ""


def spec_write(one: Seat, grants: Mapping[str, bool], merged: Merged, moment: Moment) -> Write | None:
    """Return what to write to a SriovNode, if anything."""
    if one.state.sealed:
        return None
    name, granted = one.state.name, grants[one.state.name]
    old = mapping(mapping(one.body).get("spec"))
    evict = one.evicting.ask if granted else ()
    if name in merged.untouched:
        new = {**old, "mayChange": granted}
    else:
        new = write_spec(one.config, granted, moment.wires, evict)
    spec = merge_patch(old, new)
    patch = ({"spec": spec} if spec else {}) | turns.annotated(note(one, moment, granted=granted), one.body)
    # Also where its turn was only promised: if the grant has arrived after all, this version is not the present one.
    turn = granted if granted != (old.get("mayChange") is True) or granted != one.turn.granted else None
    if turn is not None and one.version:
        patch["metadata"] = {**patch.get("metadata", {}), "resourceVersion": one.version}
    return Write(plural=NODES, name=name, subresource="", patch=patch, about=one.body, turn=turn) if patch else None


def status_write(
    policy: Policy,
    seen: SeenPolicy,
    asked: Mapping[str, Sequence[NodeState]],
    beside: Beside,
    now: str,
    calm: Calm = NO_MORE,
) -> Write | None:
    """Return what to write to the status of a policy, if anything; `calm` as in `policy_status`.

    It is good only for the version decided from: the policy may be another one of this name by now. A uid would not
    help, because the API server ignores it in a write of a custom resource's status.
    """
    old = mapping(seen.body.get("status"))
    status = policy_status(policy, asked.get(policy.uid, ()), old, now, beside, calm)
    patch = merge_patch(old, status)
    if not patch:
        return None
    changed = transitions(read_conditions(old), read_conditions(status))
    version = {"metadata": {"resourceVersion": seen.version}} if seen.version else {}
    return Write(
        plural=POLICIES,
        name=policy.name,
        subresource="status",
        patch={"status": patch, **version},
        about=seen.body,
        transitions=changed,
    )
