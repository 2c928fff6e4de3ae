"""Decides what `decide` decides, one change at a time. Pure.

What a node is asked depends on the policies and on this node only, so a change of one node is merged for it alone. Two
things are about all nodes: the turns, and the statuses of policies. Both are kept as sums. A node without a turn that
asks for none counts only among the nodes of its policies (`_matching`). A node on which a policy is as it should be
counts only in the numbers of the policy's status (`_calm`). So the cost of a change grows with what is going on, not
with the number of nodes. A node in its turn, or one for which a time runs (a rest, a silence), is decided anew each
time: what is known of pods, and the time, change without an event.

Law, which a proof checks: after any changes, the decision is the one that `decide` makes from all objects.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeVar, assert_never

from virtfn_operator.api.node_state import NodeState, Wires
from virtfn_operator.api.node_status import State
from virtfn_operator.api.policy import MaxUnavailable, Policy
from virtfn_operator.controller import turns
from virtfn_operator.controller.decide import (
    DEFAULT,
    Decision,
    Rules,
    SeenWorld,
    Write,
    evictions_of,
    guarded,
    kept_trouble,
    label_trouble,
    lost_turn,
    merging,
    read_time,
    refusals_of,
    spec_write,
    state_trouble,
    status_write,
    uids_of,
)
from virtfn_operator.controller.evict import NO_FACTS, Facts
from virtfn_operator.controller.merge import Merged, merge
from virtfn_operator.controller.picture import Change, ObjectKind
from virtfn_operator.controller.remembered import Remembered, remembered
from virtfn_operator.controller.rollout import Rollout, Turn, may_change, rollouts_of
from virtfn_operator.controller.seats import Moment, Seat, WaitsFor, said, seat
from virtfn_operator.controller.see import SeenNode, SeenObject, SeenPolicy, SeenState
from virtfn_operator.controller.status import Beside, only_counted

S = TypeVar("S", bound=SeenObject)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """One node as it was decided last."""

    seat: Seat
    stands: tuple[tuple[str, State | None], ...]
    """By name of policy, how it stands there; None where its status says more than a number."""
    lost: str
    left_out: frozenset[str]
    untouched: bool
    timed: bool
    """Whether time alone may change it."""


class Decider:
    """Remembers all objects and what was decided from them."""

    def __init__(self, rules: Rules = DEFAULT) -> None:
        self._rules = rules
        self._policies: dict[str, SeenPolicy] = {}
        self._states: dict[str, SeenState] = {}
        self._nodes: dict[str, SeenNode] = {}
        self._ranked: list[Policy] = []
        self._by_uid: dict[str, list[Policy]] = {}
        self._by_name: dict[str, Policy] = {}
        self._clock: datetime | None = None
        """The time of the last decision."""
        self._cordoned: frozenset[str] = frozenset()
        self._rollouts: Mapping[str, Rollout] = {}
        self._known: Mapping[str, WaitsFor] = {}
        """Why nodes wait, where we know that better than they do."""
        self._places: dict[str, _Place] = {}
        self._matching: Counter[str] = Counter()
        """By policy, the nodes that are asked to carry it out."""
        self._active: dict[str, Turn] = {}
        """Nodes that have a turn, would use one, or take room for another reason."""
        self._calm: dict[str, Counter[State]] = {}
        self._told: dict[str, dict[str, NodeState]] = {}
        """By policy, the nodes that its status says more of."""
        self._stale: set[str] = set()
        """Nodes to be merged anew."""
        self._all_stale = False
        """Whether a policy has changed."""
        self._nodes_due: set[str] = set()
        """Nodes whose object may differ from what it should be."""
        self._policies_due: set[str] = set()
        self._troubles: dict[tuple[str, str], list[str]] = {}
        """Lines about an object that could not be decided."""

    def take(self, changes: Iterable[Change]) -> None:
        """Note changes; nothing is decided yet."""
        for change in changes:
            match change.kind:
                case ObjectKind.POLICY:
                    self._take_policy(change.name, _as(SeenPolicy, change.seen))
                case ObjectKind.STATE:
                    _set(self._states, change.name, _as(SeenState, change.seen))
                    self._stale.add(change.name)
                case ObjectKind.NODE:
                    _set(self._nodes, change.name, _as(SeenNode, change.seen))
                    self._stale.add(change.name)
                case ObjectKind.CORDON:
                    pass  # `decide` is given all of them
                case _:
                    assert_never(change.kind)

    def _take_policy(self, name: str, seen: SeenPolicy | None) -> None:
        old = self._policies.get(name)
        if old is not None and seen is not None and old.policy == seen.policy:
            # Only its status is another one, often ours. The policy stays the same object, because its JSON is known.
            seen = replace(seen, policy=old.policy)
            self._policies_due.add(name)
        else:
            self._all_stale = True
        _set(self._policies, name, seen)

    def decide(self, now: str, *, jumped: bool = False, facts: Facts = NO_FACTS) -> Decision:
        """Return all writes and evictions that are due now, as `decide` does."""
        self._rank()
        moment = self._moment(now, jumped, facts)
        self._look(moment)
        self._place(moment)
        told = remembered(self._policies.values(), self._known_state, self._labels)
        grants = self._grants(told)
        self._tell(grants, moment, told)
        seats = [self._places[name].seat for name in self._active]
        writes = [*self._spec_writes(grants, moment), *self._status_writes(now)]
        return Decision(
            writes=tuple(writes),
            unreadable=self._unreadable(),
            evictions=evictions_of(seats, grants),
            refusals=refusals_of(seats),
        )

    def _moment(self, now: str, jumped: bool, facts: Facts) -> Moment:
        return Moment(
            clock=read_time(now),
            jumped=jumped,
            turn_timeout=self._rules.turn_timeout,
            grace=self._rules.grace,
            pause=self._rules.pause,
            number=turns.following(seen.last for seen in self._states.values()),
            policies=self._by_name,
            wires=Wires(),
            facts=facts,
        )

    def _look(self, moment: Moment) -> None:
        """Have nodes merged anew that are cordoned or not any more; all of them if the clock was set."""
        self._stale |= (self._cordoned ^ moment.facts.cordoned) & self._states.keys()
        if moment.jumped or (self._clock is not None and moment.clock < self._clock):
            self._stale |= self._states.keys()
        self._cordoned, self._clock = moment.facts.cordoned, moment.clock

    def _rank(self) -> None:
        """Begin anew with all nodes if a policy has changed."""
        if not self._all_stale:
            return
        self._all_stale = False
        policies = [seen.policy for seen in self._policies.values() if seen.policy is not None]
        asking = [policy for policy in policies if not policy.ending]
        self._ranked = sorted(asking, key=lambda policy: policy.rank)
        self._by_uid = {}
        self._by_name = {policy.name: policy for policy in asking}
        for policy in policies:
            self._by_uid.setdefault(policy.uid, []).append(policy)
        self._stale |= self._states.keys()
        self._policies_due = set(self._policies)
        self._troubles = {key: lines for key, lines in self._troubles.items() if key[0] != "policy"}
        self._places.clear()
        self._matching.clear()
        self._active.clear()
        self._calm = {policy.name: Counter() for policy in policies}
        self._told = {policy.name: {} for policy in policies}

    def _place(self, moment: Moment) -> None:
        """Merge anew the nodes that changed, and those that may change by time or by what is known of pods."""
        moving = {name for name in self._active if not _only_wants(self._places[name])}
        stale = sorted(self._stale | moving)
        self._stale = set()
        present = [name for name in stale if name in self._states and self._labels(name) is not None]
        merged = merge(
            self._ranked,
            [merging(self._states[name], self._labels(name) or {}) for name in present],
            wires=moment.wires,
            lost=any(seen.policy is None for seen in self._policies.values()),
        )
        for name in stale:
            old = self._places.pop(name, None)
            new = self._decided(name, merged, moment) if name in merged.configs else None
            self._exchange(name, old, new)
        self._nodes_due |= set(present)
        self._nodes_due -= set(stale) - set(present)

    def _known_state(self, name: str) -> SeenState | None:
        return self._states.get(name) if self._labels(name) is not None else None

    def _labels(self, name: str) -> Mapping[str, str] | None:
        node = self._nodes.get(name)
        return None if node is None else node.labels

    def _decided(self, name: str, merged: Merged, moment: Moment) -> _Place:
        found = seat(self._states[name], merged.configs[name], moment)
        lost, left_out = lost_turn(found), merged.left_out.get(name, frozenset())
        beside = Beside(lost={name: lost} if lost else {}, left_out={name: left_out})
        policies = [policy for uid in uids_of(found, merged) for policy in self._by_uid.get(uid, ())]
        stands = ((policy.name, only_counted(policy, found.state, beside)) for policy in policies)
        return _Place(
            seat=found,
            stands=tuple(sorted(stands, key=lambda stand: stand[0])),
            lost=lost,
            left_out=left_out,
            untouched=name in merged.untouched,
            timed=_timed(found, moment),
        )

    def _exchange(self, name: str, old: _Place | None, new: _Place | None) -> None:
        """Replace one node in all sums."""
        self._active.pop(name, None)
        for place, sign in ((old, -1), (new, 1)):
            if place is not None:
                self._count(name, place, sign)
        self._policies_due |= _touched(old, new)
        if new is None:
            self._troubles.pop(("node", name), None)
            return
        self._places[name] = new
        if new.seat.state.disruptive or not _only_wants(new):
            self._active[name] = new.seat.turn

    def _count(self, name: str, place: _Place, sign: int) -> None:
        for policy in place.seat.turn.policies:
            self._matching[policy] += sign
        for policy, state in place.stands:
            if state is not None:
                self._calm[policy][state] += sign
            elif sign > 0:
                self._told[policy][name] = place.seat.state
            else:
                self._told[policy].pop(name, None)

    def _grants(self, told: Remembered) -> dict[str, bool]:
        """Return the turns of all nodes that are active; the others have none.

        A limit in percent is of all nodes of a policy, and `may_change` sees the active ones only: so it gets numbers.
        """
        limits = {policy.name: policy.max_unavailable for policy in self._ranked}
        concerned = {policy for turn in self._active.values() for policy in turn.policies}
        numbers = {
            policy: MaxUnavailable(amount=limits.get(policy, MaxUnavailable()).of(self._matching[policy]))
            for policy in concerned
        }
        paused = {name for name, policy in self._by_name.items() if policy.paused}
        return may_change(self._active.values(), numbers, paused, told)

    def _tell(self, grants: Mapping[str, bool], moment: Moment, told: Remembered) -> None:
        """Note how rollouts stand and why nodes wait; the statuses that say it otherwise are due."""
        rollouts = rollouts_of(list(self._active.values()), grants, self._by_name, told)
        words = ((name, said(self._places[name].seat, moment, granted=grants[name])) for name in self._active)
        known = {name: found for name, found in words if found is not None}
        self._policies_due |= _differing(self._rollouts, rollouts)
        for name in _differing(self._known, known):
            if (place := self._places.get(name)) is not None:
                self._policies_due |= {policy for policy, _ in place.stands}
        self._rollouts, self._known = rollouts, known

    def _spec_writes(self, grants: Mapping[str, bool], moment: Moment) -> list[Write]:
        due = self._nodes_due | {name for name, granted in grants.items() if granted}
        merged = Merged(configs={}, untouched=frozenset(n for n in due if self._places[n].untouched), left_out={})
        writes = []
        for name in sorted(due):
            one = self._places[name].seat
            unreadable: list[str] = []
            granted = {name: grants.get(name, False)}
            write = guarded(one.body, partial(spec_write, one, granted, merged, moment), unreadable)
            self._note_trouble(("node", name), unreadable)
            if write is None:
                self._nodes_due.discard(name)
            else:
                self._nodes_due.add(name)
                writes.append(write)
        return writes

    def _status_writes(self, now: str) -> list[Write]:
        writes = []
        for name in sorted(self._policies_due):
            seen = self._policies.get(name)
            unreadable: list[str] = []
            write = None
            if seen is not None and seen.policy is not None:
                write = guarded(seen.body, partial(self._status_write, seen.policy, seen, now), unreadable)
            self._note_trouble(("policy", name), unreadable)
            if write is None:
                self._policies_due.discard(name)
            else:
                writes.append(write)
        return writes

    def _status_write(self, policy: Policy, seen: SeenPolicy, now: str) -> Write | None:
        told = self._told[policy.name]
        places = {name: self._places[name] for name in told}
        beside = Beside(
            lost={name: place.lost for name, place in places.items() if place.lost},
            left_out={name: place.left_out for name, place in places.items() if place.left_out},
            known=self._known,
            rollouts=self._rollouts,
        )
        calm = self._calm[policy.name]
        return status_write(policy, seen, {policy.uid: tuple(told.values())}, beside, now, calm)

    def _note_trouble(self, key: tuple[str, str], lines: list[str]) -> None:
        if lines:
            self._troubles[key] = lines
        else:
            self._troubles.pop(key, None)

    def _unreadable(self) -> tuple[str, ...]:
        found = [seen.why for seen in self._policies.values() if seen.why]
        found += [line for node in self._nodes.values() if node.labels is None and (line := label_trouble(node))]
        for name, place in self._places.items():
            if place.seat.state.unreadable:
                found.append(state_trouble(self._states[name]))
            if place.untouched:
                found.append(kept_trouble(name))
        return (*found, *(line for lines in self._troubles.values() for line in lines))


def world_of(changes: Iterable[Change]) -> SeenWorld:
    """Return everything that is known as `decide_all` wants it."""
    found = [change.seen for change in changes]
    return SeenWorld(
        policies=[seen for seen in found if isinstance(seen, SeenPolicy)],
        states=[seen for seen in found if isinstance(seen, SeenState)],
        nodes=[seen for seen in found if isinstance(seen, SeenNode)],
    )


def _only_wants(place: _Place) -> bool:
    """Whether nothing else can be said of a node's turn than whether it wants one and may get it, so that neither time
    nor pods change anything."""
    turn = place.seat.turn
    plain = Turn(
        node=turn.node,
        policies=turn.policies,
        granted=False,
        wants=turn.wants,
        settled=turn.settled,
        last=turn.last,
        barred=turn.barred,
    )
    return turn == plain and not place.timed


def _timed(found: Seat, moment: Moment) -> bool:
    """Whether the note has a rest that ends, or begins: of a clock set back it may be in the future."""
    note = found.kept
    if note is None or note.gave_up is None:
        return False
    return (moment.clock - note.gave_up).total_seconds() < turns.rest_of(note, found.state, moment.pause)


def _differing(old: Mapping[str, T], new: Mapping[str, T]) -> set[str]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def _touched(old: _Place | None, new: _Place | None) -> set[str]:
    """Return the policies whose status may be another one now."""
    before, after = (set(place.stands) if place else set() for place in (old, new))
    touched = {policy for policy, _ in before ^ after}
    same = old and new and (old.seat.state, old.lost, old.left_out) == (new.seat.state, new.lost, new.left_out)
    return touched if same else touched | {policy for policy, state in before | after if state is None}


def _as(kind: type[S], seen: SeenObject | None) -> S | None:
    return seen if isinstance(seen, kind) else None


def _set(known: dict[str, S], name: str, seen: S | None) -> None:
    if seen is None:
        known.pop(name, None)
    else:
        known[name] = seen
