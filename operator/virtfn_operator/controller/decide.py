"""Decides everything to write from everything the API server lists. Pure: one look, one set of writes.

SriovNodes without a Node are left alone: the API server collects them, and unknown labels must not count as absent. An
object that cannot be read stops no other: a policy keeps what it had, a SriovNode counts as changing, and each is
reported. The cost of one object is bounded by counts before it is read (`core/turn/policy.py`, `api/node_state.py`,
`merge.py`), so no time is measured here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from virtfn_host.core.values.desired import NodeConfig
from virtfn_host.core.values.resource_names import Domains
from virtfn_operator.api import NODES, POLICIES
from virtfn_operator.api.conditions import Transition, read_conditions, transitions
from virtfn_operator.api.foreign import ERRORS, mapping
from virtfn_operator.api.node_state import NodeState, Wires, read_node, unknown_node, write_spec
from virtfn_operator.api.patch import merge_patch
from virtfn_operator.api.policy import Policy, read_policy
from virtfn_operator.controller import turns
from virtfn_operator.controller.merge import Merged, Node, merge
from virtfn_operator.controller.rollout import Turn, may_change
from virtfn_operator.controller.status import Beside, policy_status

Body = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Fresh lists of the three kinds; nodes need their metadata only."""

    policies: Sequence[Body]
    states: Sequence[Body]
    nodes: Sequence[Body]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings of the installation."""

    domains: Domains = frozenset()
    """Domains that resource names may have beside virtfn.dev."""
    turn_timeout: float = turns.TIMEOUT
    """Seconds that a node may be silent in its turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A merge patch for one object, and the events to post once it is written."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seat:
    """One node in the rollout: its state, what it should be asked, and its turn."""

    state: NodeState
    body: Body
    config: NodeConfig
    note: turns.Note | None
    """The note on the object."""
    kept: turns.Note | None
    """The note to write if nothing about the turn changes."""
    turn: Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """The time of this look, by clock and by turns."""

    clock: datetime
    turn: int
    """The number for a turn that ends now."""


DEFAULT = Rules()


def decide(world: World, now: str, rules: Rules = DEFAULT, *, jumped: bool = False) -> Decision:
    """Merge policies, give turns, sum up statuses; return only what differs from the objects.

    Args:
        world: what the API server lists.
        now: RFC 3339, the controller's own clock.
        rules: the settings of the installation.
        jumped: whether that clock was set since the last look.
    """
    unreadable: list[str] = []
    living = [body for body in world.policies if not _metadata(body).get("deletionTimestamp")]
    policies = _read(living, lambda body: read_policy(body, rules.domains), "SriovPolicy", unreadable)
    labels = _labels(world.nodes, unreadable)
    present = [body for body in world.states if _name(body) in labels]
    states = [(_state(body, unreadable), body) for body in present]
    wires = Wires()
    nodes = [Node(name=s.name, labels=labels[s.name], asked=s.spec, garbled=s.garbled) for s, _ in states]
    # A policy that cannot be read is not deleted: its functions are not given back.
    merged = merge([p for p, _ in policies], nodes, wires=wires, lost=len(policies) < len(living))
    unreadable += [f"SriovNode {name} keeps its spec: what it is asked cannot be read" for name in merged.untouched]
    clock = read_time(now)
    seats = [_seat(state, body, merged, wires, clock, rules, jumped) for state, body in states]
    grants = may_change([seat.turn for seat in seats], {p.name: p.max_unavailable for p, _ in policies})
    asked, beside = _asked(seats, merged), _beside(seats, merged)
    look = _Look(clock=clock, turn=turns.following(world.states))
    writes = [
        *(_guarded(seat.body, partial(_spec_write, seat, grants, merged, wires, look), unreadable) for seat in seats),
        *(
            _guarded(body, partial(_status_write, policy, body, asked, beside, now), unreadable)
            for policy, body in policies
        ),
    ]
    return Decision(writes=tuple(write for write in writes if write), unreadable=tuple(unreadable))


def read_time(now: str) -> datetime:
    """Parse the caller's time; an invalid text gives the year 1970, so that no turn ends because of it."""
    try:
        return turns.read_time(now)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def _metadata(body: object) -> Mapping[str, Any]:
    return mapping(mapping(body).get("metadata"))


def _name(body: object) -> str:
    name = _metadata(body).get("name")
    return name if isinstance(name, str) else ""


def _labels(nodes: Iterable[Body], unreadable: list[str]) -> dict[str, Mapping[str, str]]:
    """The labels of each node; nodes whose labels cannot be read are left out."""
    found = {}
    for body in nodes:
        name, labels = _name(body), _metadata(body).get("labels")
        if name and (labels is None or _are_labels(labels)):
            found[name] = labels or {}
        else:
            unreadable.append(f"Node {name or 'without a name'} is left alone, its labels cannot be read")
    return found


def _are_labels(labels: object) -> bool:
    """Whether all values are texts: a selector looks them up in sets, where lists and objects cannot be."""
    return isinstance(labels, Mapping) and all(isinstance(value, str) for value in labels.values())


def _read(bodies: Iterable[Body], read: Callable[[Body], T], kind: str, unreadable: list[str]) -> list[tuple[T, Body]]:
    found = []
    for body in bodies:
        try:
            found.append((read(body), body))
        except ERRORS as error:
            unreadable.append(f"{kind} {_name(body)[:253]} is left out, it cannot be read: {error!r:.200}")
    return found


def _state(body: Body, unreadable: list[str]) -> NodeState:
    try:
        state = read_node(body)
    except ERRORS as error:
        state = unknown_node(_name(body), 0, f"{error!r:.200}", None, garbled=True, sealed=True)
    if state.unreadable:
        unreadable.append(f"SriovNode {state.name} counts as changing: {state.unreadable}")
    return state


def _guarded(body: Body, write: Callable[[], Write | None], unreadable: list[str]) -> Write | None:
    """Decide one write; an error over this object must not stop the others."""
    try:
        return write()
    except ERRORS as error:
        unreadable.append(f"{_name(body)[:253]} is not written, it cannot be decided: {error!r:.200}")
        return None


def _seat(
    state: NodeState, body: Body, merged: Merged, wires: Wires, now: datetime, rules: Rules, jumped: bool
) -> _Seat:
    config, note = merged.configs[state.name], turns.read_note(body)
    granted = state.spec is not None and state.spec.may_change
    kept = turns.heard(note, state, now, jumped=jumped) if granted else note
    lost = granted and kept is not None and turns.is_lost(kept, state, now, rules.turn_timeout)
    same = state.spec is not None and list(state.spec.policies) == [wires.of(p) for p in config.policies]
    settled = state.heard and not state.disruptive
    if not granted and kept is not None and settled:
        kept = turns.settled(kept, state)
    turn = Turn(
        node=state.name,
        policies=tuple(policy.name for policy in config.policies),
        granted=granted,
        wants=state.heard and state.disruptive and same,
        settled=settled,
        lost=lost,
        last=turns.last(note),
        unknown=state.garbled,
    )
    return _Seat(state=state, body=body, config=config, note=note, kept=kept, turn=turn)


def _asked(seats: Sequence[_Seat], merged: Merged) -> dict[str, list[NodeState]]:
    """The nodes of each policy, by its uid, including nodes that have no room for it."""
    found: dict[str, list[NodeState]] = {}
    for seat in seats:
        uids = {policy.uid for policy in seat.config.policies} | merged.left_out.get(seat.state.name, frozenset())
        uids |= seat.state.spec.uids if seat.state.name in merged.untouched and seat.state.spec else set()
        for uid in uids:
            found.setdefault(uid, []).append(seat.state)
    return found


def _beside(seats: Sequence[_Seat], merged: Merged) -> Beside:
    """What nodes do not report themselves: lost turns, and policies that were left out."""
    lost = {}
    for seat in seats:
        note = seat.kept
        silent = note is not None and note.lost and not turns.has_answered(note, seat.state)
        if note is not None and (seat.turn.lost or silent):
            lost[seat.state.name] = turns.why(note)
    return Beside(lost=lost, left_out=merged.left_out)


def _spec_write(seat: _Seat, grants: Mapping[str, bool], merged: Merged, wires: Wires, look: _Look) -> Write | None:
    if seat.state.sealed:
        return None
    name, granted = seat.state.name, grants[seat.state.name]
    old = mapping(mapping(seat.body).get("spec"))
    kept = {**old, "mayChange": granted}
    spec = merge_patch(old, kept if name in merged.untouched else write_spec(seat.config, granted, wires))
    patch = ({"spec": spec} if spec else {}) | turns.annotated(_note(seat, look, granted=granted), seat.body)
    return Write(plural=NODES, name=name, subresource="", patch=patch, about=seat.body) if patch else None


def _note(seat: _Seat, look: _Look, *, granted: bool) -> turns.Note | None:
    """The note on the node's turn to write now."""
    if seat.turn.lost and seat.kept is not None:
        return turns.taken(seat.kept, seat.state, look.clock, look.turn)
    if granted:
        return seat.kept if seat.turn.granted else turns.fresh(seat.state, look.clock)
    return None if seat.kept is None else turns.ended(seat.kept, look.turn)


def _status_write(
    policy: Policy, body: Body, asked: Mapping[str, Sequence[NodeState]], beside: Beside, now: str
) -> Write | None:
    old = mapping(body.get("status"))
    status = policy_status(policy, asked.get(policy.uid, ()), old, now, beside)
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
