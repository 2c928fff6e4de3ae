"""A SriovNode as the controller reads it. The spec is in `node_spec.py` and re-exported here.

The status is read leniently: agent and controller may be of different versions during an upgrade, and the status is not
trusted. A status that cannot be read, or that `needs` an unknown field, makes the node `unknown`, never "not changing".
An unknown reason counts as a problem, never as success (decision 0020). Where an agent cannot read its spec, each
policy of the spec has failed there.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from virtfn_host.core.values.codec import CodecError
from virtfn_host.core.values.desired import Rejected
from virtfn_host.core.values.envelope import expect_known
from virtfn_host.core.values.reasons import Reason, known_reason
from virtfn_operator.api.bounds import cut_text
from virtfn_operator.api.conditions import READY, Condition, find, read_conditions
from virtfn_operator.api.foreign import entries, mapping, number, optional_text, text
from virtfn_operator.api.node_spec import (
    EVICT_LIMIT,
    POLICIES_LIMIT,
    AskedSpec,
    NodeSpec,
    Wires,
    asked_spec,
    read_spec,
    write_spec,
)
from virtfn_operator.api.node_status import STATUS_FIELDS, PolicyOutcome, State

__all__ = [
    "AskedSpec",
    "NodeSpec",
    "NodeState",
    "Wires",
    "read_node",
    "read_spec",
    "unknown_node",
    "write_spec",
]

LISTS = {"policies": POLICIES_LIMIT, "rejected": 1024, "conditions": 64}
"""Lists of a status that are read, and their most entries; the schema refuses more."""

REJECTED_LIMIT = 64
"""Rejections that are read; an agent reports 32."""

MESSAGE_LIMIT = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplacedPod:
    """A pod that a status names: by name, by uid or by both. Fields that it leaves out are empty."""

    device: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Displaced:
    """The pods that are to be evicted for the plan of a node."""

    withdrawn: bool
    """Whether no new pod is offered what they hold."""
    pods: tuple[DisplacedPod, ...]

    @property
    def as_json(self) -> list[Any]:
        """What a change of makes a status a new one."""
        return [self.withdrawn, *([p.device, p.namespace, p.name, p.uid] for p in self.pods)]


@dataclass(frozen=True, kw_only=True)
class NodeState:
    """One SriovNode as the controller sees it."""

    name: str
    generation: int
    spec: AskedSpec | None
    """None until the controller has written one."""
    observed_generation: int
    disruptive: bool
    policies: tuple[PolicyOutcome, ...]
    rejected: tuple[Rejected, ...]
    conditions: tuple[Condition, ...]
    unknown: bool = False
    """Whether its status cannot be read; then it counts as changing."""
    garbled: bool = False
    """Whether its spec cannot be read; then another program wrote it."""
    sealed: bool = False
    """Whether nothing may be written to it, because a field that the API server writes cannot be read."""
    unreadable: str = ""
    """What cannot be read, for the log."""
    left: int = 0
    """Steps that are left of its plan."""
    displaced: Displaced | None = None
    """The pods that are to be evicted for its plan; None: there are none."""

    @property
    def heard(self) -> bool:
        """Whether its status answers its present spec."""
        return not self.unknown and self.observed_generation >= self.generation

    @property
    def has_turn(self) -> bool:
        """Whether its spec lets it carry out disruptive changes now."""
        return self.spec is not None and self.spec.may_change

    @cached_property
    def by_uid(self) -> Mapping[str, PolicyOutcome]:
        """The outcomes by the uid of their policy."""
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
        """A hash that changes whenever the node reports something new."""
        told: list[Any] = [self.observed_generation, self.disruptive, self.left]
        told += [] if self.displaced is None else [self.displaced.as_json]
        told += [[o.uid, o.generation, o.state, o.reason, o.message] for o in self.policies]
        told += [[c.type, c.status, c.reason, c.message] for c in self.conditions]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def unknown_node(
    name: str, generation: int, why: str, spec: AskedSpec | None, *, garbled: bool = False, sealed: bool = False
) -> NodeState:
    """Return the state of a SriovNode whose status cannot be read."""
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
    """Read a SriovNode as the API server gives it; missing fields of a status are empty.

    Raises:
        KeyError, TypeError: the object has no name.
    """
    metadata = body["metadata"]
    name, generation = str(metadata["name"]), number(metadata.get("generation", 0))
    given = body.get("spec")
    why = _garbled(given)
    spec = None if why else asked_spec(mapping(given))
    if generation is None:
        return unknown_node(name, 0, "metadata.generation is not a number", spec, garbled=True, sealed=True)
    if why:
        return unknown_node(name, generation, why, None, garbled=True)
    status = body.get("status")
    if why := _unreadable(status):
        return unknown_node(name, generation, why, spec)
    return _read_status(name, generation, spec, mapping(status))


def _garbled(spec: object) -> str:
    if spec is not None and not isinstance(spec, Mapping):
        return "spec is not an object"
    return _no_list(mapping(spec).get("policies"), POLICIES_LIMIT, "spec.policies")


def _unreadable(status: object) -> str:
    if status is not None and not isinstance(status, Mapping):
        return "status is not an object"
    found = (_no_list(mapping(status).get(field), most, f"status.{field}") for field, most in LISTS.items())
    return next(filter(None, found), "") or not_understood(mapping(status))


def not_understood(status: Mapping[str, Any]) -> str:
    """Return why this version cannot understand a status of another version, or an empty text."""
    if "needs" not in status:
        return ""
    try:
        expect_known(status["needs"], STATUS_FIELDS)
    except CodecError as error:
        return f"status: {error}"
    return ""


def _no_list(value: object, most: int, path: str) -> str:
    """Return why the value cannot be read as a list, or an empty text; it is counted before its entries are read."""
    if value is None:
        return ""
    if not isinstance(value, list):
        return f"{path} is not a list"
    return f"{path} has more than {most} entries" if len(value) > most else ""


def _read_status(name: str, generation: int, spec: AskedSpec | None, status: Mapping[str, Any]) -> NodeState:
    plan = status.get("plan", {})
    disruptive = plan.get("disruptive", False) if isinstance(plan, Mapping) else None
    observed = number(status.get("observedGeneration", 0))
    if observed is None or not isinstance(disruptive, bool):
        field = "observedGeneration" if observed is None else "plan"
        return unknown_node(name, generation, f"status.{field} cannot be read", spec)
    conditions = read_conditions(status)
    told = tuple(_outcome(item) for item in entries(status.get("policies"), POLICIES_LIMIT))
    return NodeState(
        name=name,
        generation=generation,
        spec=spec,
        observed_generation=observed,
        disruptive=disruptive,
        left=number(plan.get("steps")) or 0,
        displaced=_displaced(plan.get("evict")),
        policies=told if spec is None or observed < generation else (*told, *_not_read(spec, told, conditions)),
        rejected=tuple(_rejected(item) for item in entries(status.get("rejected"), REJECTED_LIMIT)),
        conditions=conditions,
    )


def _not_read(
    spec: AskedSpec, told: tuple[PolicyOutcome, ...], conditions: tuple[Condition, ...]
) -> Iterator[PolicyOutcome]:
    """Yield a failure for each policy of a spec that the agent cannot read: it leaves all of them as they are, and says
    that in its Ready condition only."""
    ready, uids = find(conditions, READY), {outcome.uid for outcome in told}
    if ready is None or ready.reason != Reason.INVALID_POLICY:
        return
    for item in map(mapping, spec.policies):
        if (uid := text(item.get("uid"), 253)) not in uids:
            yield PolicyOutcome(
                name=text(item.get("name"), 253),
                uid=uid,
                generation=number(item.get("generation")) or 0,
                state=State.FAILED,
                reason=Reason.INVALID_POLICY,
                message=ready.message,
                device=None,
            )


def _displaced(value: object) -> Displaced | None:
    if value is None:
        return None
    found = mapping(value)  # what is not an object names no pod, but it does not say that there are none
    pods = (
        DisplacedPod(**{field: text(item.get(field), 253) for field in ("device", "namespace", "name", "uid")})
        for item in entries(found.get("pods"), EVICT_LIMIT)
    )
    return Displaced(withdrawn=found.get("withdrawn") is True, pods=tuple(pods))


def _outcome(item: Mapping[str, Any]) -> PolicyOutcome:
    reason, message = _told(item)
    return PolicyOutcome(
        name=text(item.get("name"), 253),
        uid=text(item.get("uid"), 253),
        generation=number(item.get("generation")) or 0,
        state=_state(item.get("state"), text(item.get("reason"), 253)),
        reason=reason,
        message=message,
        device=optional_text(item.get("device"), 253),
    )


def _told(item: Mapping[str, Any]) -> tuple[Reason | Literal[""], str]:
    """Return reason and message; a word that is no reason here, as of another version, stands in the message."""
    word, message = text(item.get("reason"), 253), text(item.get("message"), MESSAGE_LIMIT)
    if not word:
        return "", message
    reason = known_reason(word)
    if reason == word:
        return reason, message
    return reason, cut_text(f"{word}: {message}" if message else word, MESSAGE_LIMIT)


def _state(word: object, reason: str) -> State:
    if not isinstance(word, str) or word not in tuple(State):
        return State.CHANGING
    state, known = State(word), not reason or reason in tuple(Reason)
    return state if known or state not in _WELL else State.FAILED


_WELL = frozenset({State.READY, State.WITHOUT_DEVICE})


def _rejected(item: Mapping[str, Any]) -> Rejected:
    reason, message = _told(item)
    return Rejected(
        policy=text(item.get("policy"), 253),
        device=optional_text(item.get("device"), 253),
        reason=reason or Reason.UNREADABLE,
        message=message,
    )
