"""One node in the rollout: what it reports, what it is to be asked, and how its turn goes on. Pure.

The rules of turns are in `rollout.py` (who gets one), `turns.py` (how long one lasts) and `evict.py` (pods that are in
the way). Here they are applied to one node.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from virtfn_host.core.values.desired import NodeConfig, PolicyConfig, WhenInUse
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.api.node_state import NodeState, Wires
from virtfn_operator.api.node_status import State
from virtfn_operator.api.policy import OnFailure, Policy
from virtfn_operator.controller import turns
from virtfn_operator.controller.evict import Evicting, Facts, evicting
from virtfn_operator.controller.rollout import Turn
from virtfn_operator.controller.see import SeenState

AGAIN = "the pods that hold what is to be changed were not evicted; it is being tried again"

_DONE = frozenset({State.READY, State.WITHOUT_DEVICE, State.REJECTED})
_FAILED = frozenset({State.FAILED})

WaitsFor = tuple[State, Reason, str]
"""State, reason and message of a policy on one node, where the controller knows more than the agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What one look goes by, the same for every node."""

    clock: datetime
    jumped: bool
    """Whether the clock was set since the last look."""
    turn_timeout: float
    grace: float
    """Seconds that evictions may be refused before the turn ends."""
    pause: float
    """Seconds until the next turn after that."""
    number: int
    """The number for a turn that ends now."""
    policies: Mapping[str, Policy]
    wires: Wires
    facts: Facts

    def stops(self, policy: str) -> bool:
        """Whether a failure of this policy stops its rollout."""
        return policy not in self.policies or self.policies[policy].on_failure is OnFailure.STOP


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One node in the rollout."""

    state: NodeState
    body: Mapping[str, Any]
    version: str
    config: NodeConfig
    note: turns.Note | None
    """The note on the object."""
    kept: turns.Note | None
    """The note to write if nothing about the turn changes."""
    turn: Turn
    evicting: Evicting
    gives_up: bool
    """Whether its turn ends now before its work is done, so that it rests a while."""


def seat(seen: SeenState, config: NodeConfig, moment: Moment) -> Seat:
    """Return the seat of a node.

    Args:
        seen: what the object says, read.
        config: what the node should be asked.
        moment: the present look.
    """
    state, body = seen.state, seen.body
    note = turns.read_note(body)
    anew = _anew(state, config, moment.wires)
    before = turns.rested(note) if note is not None and anew else note
    if not (seen.promised or state.has_turn):
        kept = turns.settled(before, state) if before is not None and _quiet(state) else before
        kept = kept and turns.closing(kept, state, moment.clock, jumped=moment.jumped)
        failed = _failed(kept, frozenset(), state, config, moment)
        kept = kept and turns.with_failure(kept, failed)
        turn = _turn(state, config, kept, moment, granted=False, settled=_quiet(state), failed=_names(failed))
        return Seat(
            state=state,
            body=body,
            version=seen.version,
            config=config,
            note=note,
            kept=kept,
            turn=turn,
            evicting=Evicting(),
            gives_up=False,
        )
    failing = _failing(state, config)
    kept = turns.heard(before, state, moment.clock, jumped=moment.jumped)
    failed = _failed(kept, failing, state, config, moment)
    kept = turns.with_failure(kept, failed)
    # A node's word alone ends no pod: one of its policies must ask for it.
    asks = any(policy.when_in_use is WhenInUse.EVICT for policy in config.policies)
    out = evicting(state, moment.facts) if asks else Evicting()
    # What these pods hold may be asked for no more; it is asked anew first, and that write may fail.
    out = out if _same(state, config, moment.wires) else replace(out, now=())
    # Without an answer yet, a new controller does not forget since when the one before it was refused.
    refused = out.why is not None or (out.untold and kept.refused is not None)
    kept = turns.with_refusal(kept, moment.clock, refused=refused)
    kept = turns.with_ending(kept, moment.clock, out.until)
    brings = _brings(state, config, moment.wires)
    kept = turns.edited(kept, moment.clock) if brings else kept
    stays = _stays(failed, config)
    given_up = out.hopeless or turns.gives_up(kept, moment.clock, moment.grace)
    # What another policy is changing there goes on to its end first; if that leaves nothing to do, the turn ends like
    # any other, because a lasting failure must not delay the next one.
    left = state.disruptive or len(failing) == len(config.policies)
    goes_on = state.heard and bool(failing) and not _busy(state) and left
    fails = goes_on and not stays
    # The rest after a failure is as long whether pods are in the way, too, or not.
    kept = turns.with_refusal(kept, moment.clock, refused=False) if fails else kept
    gives_up = given_up or fails
    turn = _turn(
        state,
        config,
        note,
        moment,
        granted=True,
        settled=_quiet(state) and not stays and not _busy(state),
        lost=not stays and turns.is_lost(kept, state, moment.clock, moment.turn_timeout),
        yields=gives_up or _makes_way(state, brings, moment.facts),
        failed=_names(failed),
        brings=brings,
    )
    return Seat(
        state=state,
        body=body,
        version=seen.version,
        config=config,
        note=note,
        kept=kept,
        turn=turn,
        evicting=out,
        gives_up=gives_up and not anew,
    )


def _turn(
    state: NodeState, config: NodeConfig, note: turns.Note | None, moment: Moment, *, granted: bool, **more: Any
) -> Turn:
    cordoned = state.name in moment.facts.cordoned
    return Turn(
        node=state.name,
        policies=tuple(policy.name for policy in config.policies),
        granted=granted,
        wants=state.heard and state.disruptive and _same(state, config, moment.wires),
        pending=_pending(state, config) if more.get("failed") else frozenset(),
        last=turns.last(note),
        unknown=state.garbled,
        closing=not granted and note is not None and turns.is_closing(note, state, moment.clock, moment.turn_timeout),
        barred=cordoned or (note is not None and turns.rests(note, state, moment.clock, moment.pause)),
        **more,
    )


def _quiet(state: NodeState) -> bool:
    """Whether it has answered and nothing disruptive is left."""
    return state.heard and not state.disruptive


def _busy(state: NodeState) -> bool:
    """Whether it still tries: a node that made no VFs yet after it took the old ones away has nothing to disturb."""
    return any(outcome.state is State.CHANGING for outcome in state.policies)


def _pending(state: NodeState, config: NodeConfig) -> frozenset[str]:
    """The policies that are not carried out there yet."""
    return frozenset(p.name for p in config.policies if not (state.heard and _stands(state, p, _DONE)))


def _failing(state: NodeState, config: NodeConfig) -> frozenset[str]:
    """The policies that failed as they are asked now."""
    return frozenset(p.name for p in config.policies if _stands(state, p, _FAILED))


def _stands(state: NodeState, policy: PolicyConfig, states: Set[State]) -> bool:
    """Whether the node says that this policy, as it is asked now, is in one of these states. Its uid is compared,
    because a policy that was deleted and made again has the same name, and may have the same generation."""
    found = state.by_uid.get(policy.uid)
    return found is not None and found.state in states and found.generation >= policy.generation


def _failed(
    note: turns.Note | None, failing: Set[str], state: NodeState, config: NodeConfig, moment: Moment
) -> tuple[PolicyConfig, ...]:
    """The policies that failed there and stop then."""
    if note is None or not (note.failed or failing):
        return ()
    return turns.still_failed(note, failing, state, (p for p in config.policies if moment.stops(p.name)))


def _stays(failed: tuple[PolicyConfig, ...], config: NodeConfig) -> bool:
    """Whether a node that failed keeps its turn: all of its policies have stopped, so it holds up nothing else."""
    return bool(failed) and len(failed) == len(config.policies)


def _names(policies: tuple[PolicyConfig, ...]) -> frozenset[str]:
    return frozenset(policy.name for policy in policies)


def _brings(state: NodeState, config: NodeConfig, wires: Wires) -> frozenset[str]:
    """The policies that are new to the node or edited."""
    asked = state.spec
    return frozenset(p.name for p in config.policies if asked is None or asked.entry(p.uid) != wires.of(p))


def _same(state: NodeState, config: NodeConfig, wires: Wires) -> bool:
    """Whether the node is asked already what it should be."""
    return state.spec is not None and list(state.spec.policies) == [wires.of(p) for p in config.policies]


def _anew(state: NodeState, config: NodeConfig, wires: Wires) -> bool:
    """Whether an earlier turn says nothing about the next one: the node is to be asked for something else, or it is
    well."""
    if not _same(state, config, wires):
        return bool(config.policies)  # none: maybe what it is asked cannot be read, and nothing is written
    return state.heard and state.displaced is None and not _pending(state, config)


def _makes_way(state: NodeState, brings: Set[str], facts: Facts) -> bool:
    """Whether a node was cordoned that waits for pods or would begin something else: what an administrator does there
    comes first."""
    waits = state.heard and state.displaced is not None
    return state.name in facts.cordoned and (waits or bool(brings))


def note(seat: Seat, moment: Moment, *, granted: bool) -> turns.Note | None:
    """Return the note on the node's turn to write now.

    Args:
        seat: the node.
        moment: the present look.
        granted: whether it has its turn from now on.
    """
    if seat.turn.lost and seat.kept is not None:
        return turns.taken(seat.kept, seat.state, moment.clock, moment.number)
    if granted:
        return seat.kept if seat.turn.granted else turns.fresh(seat.state, moment.clock, seat.kept)
    if seat.kept is None:
        return None
    # A turn that was only promised is not in the object yet: then taking it back is no new generation.
    closes = seat.state.generation + seat.state.has_turn
    return turns.ended(seat.kept, moment.number, now=moment.clock, closes=closes, gave_up=seat.gives_up)


def said(seat: Seat, moment: Moment, *, granted: bool) -> WaitsFor | None:
    """Return what the controller knows of why a node waits, better than its agent does; None: no more than it says."""
    if not seat.state.disruptive:
        return None
    waits = seat.state.displaced is not None
    if seat.state.name in moment.facts.cordoned and (waits or not granted):
        text = "an administrator cordoned the node, so it is left alone; go on with `kubectl uncordon`"
        return State.BLOCKED, Reason.NODE_CORDONED, text
    if granted and seat.evicting.why is not None:
        return State.BLOCKED, *seat.evicting.why
    if granted:
        refused = seat.kept is not None and seat.kept.refused is not None
        return (State.BLOCKED, Reason.EVICTION_BLOCKED, AGAIN) if refused else None
    if seat.kept is None or not turns.rests(seat.kept, seat.state, moment.clock, moment.pause):
        return None
    rest = turns.rest_of(seat.kept, seat.state, moment.pause)
    again = f"it has another turn {rest / 60:.0f} minutes after the last one"
    if waits:
        why = moment.facts.refusals.get(seat.state.name, "the pods that hold what is to be changed did not end")
        return State.BLOCKED, Reason.EVICTION_BLOCKED, f"{why}; everything is offered to pods again, and {again}"
    if turns.pods_gone(seat.kept, seat.state):
        return State.CHANGING, Reason.WAITING_FOR_TURN, f"pods were in the way in its last turn; {again}"
    if len(seat.config.policies) == 1:
        return State.FAILED, Reason.WAITING_FOR_TURN, f"it failed in its turn; {again}"
    # Which of them failed, each says itself; one that only shares the node has not.
    return State.CHANGING, Reason.WAITING_FOR_TURN, f"a policy of this node failed in its turn; {again}"
