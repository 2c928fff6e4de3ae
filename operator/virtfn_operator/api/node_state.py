"""What the controller reads of a SriovNode. `node_spec.py` has its spec, which is re-exported here.

The status is read leniently: agent and controller may be of different versions during an upgrade, and who wrote it may
have been anybody. What cannot be read, or needs a field that is not known, makes the node `unknown`, never "not
changing"; a reason that is not known makes what it is about a problem, never well (decision 0020).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from virtfn_host.core.values.codec import CodecError, expect_known
from virtfn_host.core.values.desired import Rejected
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.api.conditions import Condition, read_conditions
from virtfn_operator.api.foreign import entries, mapping, number, optional_text, text
from virtfn_operator.api.node_spec import (
    POLICIES_LIMIT,
    AskedSpec,
    NodeSpec,
    Wires,
    asked_spec,
    read_spec,
    write_spec,
)
from virtfn_operator.api.node_status import STATUS_FIELDS, PolicyOutcome, State

__all__ = ["AskedSpec", "NodeSpec", "NodeState", "Wires", "read_node", "read_spec", "unknown_node", "write_spec"]

LISTS = {"policies": POLICIES_LIMIT, "rejected": 1024, "conditions": 64}
"""Lists of a status that are read, and how long they may be; longer ones the schema refuses."""

REJECTED_LIMIT = 64
"""Rejections looked at; an agent reports 32."""

MESSAGE_LIMIT = 2048


@dataclass(frozen=True, kw_only=True)
class NodeState:
    """One SriovNode as the controller sees it."""

    name: str
    generation: int
    spec: AskedSpec | None
    """None: the controller has not spoken yet."""
    observed_generation: int
    disruptive: bool
    policies: tuple[PolicyOutcome, ...]
    rejected: tuple[Rejected, ...]
    conditions: tuple[Condition, ...]
    unknown: bool = False
    """Its status cannot be read, so nobody can say that it is not changing."""
    garbled: bool = False
    """Its spec cannot be read; whoever wrote it, it was not this controller."""
    sealed: bool = False
    """Nothing may be written to it, because what the API server itself writes there cannot be read."""
    unreadable: str = ""
    """What cannot be read, for the log."""
    left: int = 0
    """Steps that are left of its plan."""

    @property
    def heard(self) -> bool:
        """It has answered what it was asked last."""
        return not self.unknown and self.observed_generation >= self.generation

    @cached_property
    def by_uid(self) -> Mapping[str, PolicyOutcome]:
        """The outcomes by their policies."""
        return {outcome.uid: outcome for outcome in reversed(self.policies)}

    @cached_property
    def refusals(self) -> Mapping[str, tuple[Rejected, ...]]:
        """The rejections by the name of their policy."""
        found: dict[str, tuple[Rejected, ...]] = {}
        for rejected in self.rejected:
            found[rejected.policy] = (*found.get(rejected.policy, ()), rejected)
        return found

    @cached_property
    def word(self) -> str:
        """A short text that is another one when the node has told something new."""
        told: list[Any] = [self.observed_generation, self.disruptive, self.left]
        told += [[o.uid, o.generation, o.state, o.reason, o.message] for o in self.policies]
        told += [[c.type, c.status, c.reason, c.message] for c in self.conditions]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def unknown_node(
    name: str, generation: int, why: str, spec: AskedSpec | None, *, garbled: bool = False, sealed: bool = False
) -> NodeState:
    """A SriovNode of which nothing is known but its name."""
    return NodeState(
        name=name,
        generation=generation,
        spec=spec,
        observed_generation=0,
        disruptive=False,
        policies=(),
        rejected=(),
        conditions=(),
        unknown=True,
        garbled=garbled,
        sealed=sealed,
        unreadable=why,
    )


def read_node(body: Mapping[str, Any]) -> NodeState:
    """A SriovNode as the API server gives it; what a status lacks is empty.

    Raises:
        KeyError, TypeError: it has no name, so that nothing can be said about it.
    """
    metadata = body["metadata"]
    name, generation = str(metadata["name"]), number(metadata.get("generation", 0))
    given = body.get("spec")
    why = _garbled(given)
    spec = None if why else asked_spec(mapping(given))
    if generation is None:
        return unknown_node(name, 0, "metadata.generation is no number", spec, garbled=True, sealed=True)
    if why:
        return unknown_node(name, generation, why, None, garbled=True)
    status = body.get("status")
    if why := _unreadable(status):
        return unknown_node(name, generation, why, spec)
    return _read_status(name, generation, spec, mapping(status))


def _garbled(spec: object) -> str:
    if spec is not None and not isinstance(spec, Mapping):
        return "spec is no object"
    return _no_list(mapping(spec).get("policies"), POLICIES_LIMIT, "spec.policies")


def _unreadable(status: object) -> str:
    if status is not None and not isinstance(status, Mapping):
        return "status is no object"
    found = (_no_list(mapping(status).get(field), most, f"status.{field}") for field, most in LISTS.items())
    return next(filter(None, found), "") or not_understood(mapping(status))


def not_understood(status: Mapping[str, Any]) -> str:
    """Why this version cannot understand a status of another version, or nothing."""
    if "needs" not in status:
        return ""
    try:
        expect_known(status["needs"], STATUS_FIELDS)
    except CodecError as error:
        return f"status: {error}"
    return ""


def _no_list(value: object, most: int, path: str) -> str:
    """Counted before anything of it is read."""
    if value is None:
        return ""
    if not isinstance(value, list):
        return f"{path} is no list"
    return f"{path} has more than {most} entries" if len(value) > most else ""


def _read_status(name: str, generation: int, spec: AskedSpec | None, status: Mapping[str, Any]) -> NodeState:
    plan = status.get("plan", {})
    disruptive = plan.get("disruptive", False) if isinstance(plan, Mapping) else None
    observed = number(status.get("observedGeneration", 0))
    if observed is None or not isinstance(disruptive, bool):
        field = "observedGeneration" if observed is None else "plan"
        return unknown_node(name, generation, f"status.{field} cannot be read", spec)
    return NodeState(
        name=name,
        generation=generation,
        spec=spec,
        observed_generation=observed,
        disruptive=disruptive,
        left=number(plan.get("steps")) or 0,
        policies=tuple(_outcome(item) for item in entries(status.get("policies"), POLICIES_LIMIT)),
        rejected=tuple(_rejected(item) for item in entries(status.get("rejected"), REJECTED_LIMIT)),
        conditions=read_conditions(status),
    )


def _outcome(item: Mapping[str, Any]) -> PolicyOutcome:
    reason = text(item.get("reason"), 253)
    return PolicyOutcome(
        name=text(item.get("name"), 253),
        uid=text(item.get("uid"), 253),
        generation=number(item.get("generation")) or 0,
        state=_state(item.get("state"), reason),
        reason=reason,
        message=text(item.get("message"), MESSAGE_LIMIT),
        device=optional_text(item.get("device"), 253),
    )


def _state(word: object, reason: str) -> State:
    if not isinstance(word, str) or word not in tuple(State):
        return State.CHANGING
    state, known = State(word), not reason or reason in tuple(Reason)
    return state if known or state not in _WELL else State.FAILED


_WELL = frozenset({State.READY, State.WITHOUT_DEVICE})


def _rejected(item: Mapping[str, Any]) -> Rejected:
    reason = item.get("reason")
    return Rejected(
        policy=text(item.get("policy"), 253),
        device=optional_text(item.get("device"), 253),
        reason=Reason(reason) if isinstance(reason, str) and reason in tuple(Reason) else Reason.INVALID_POLICY,
        message=text(item.get("message"), MESSAGE_LIMIT),
    )
