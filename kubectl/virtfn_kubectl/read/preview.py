"""Reads a node's answer to `virtfn-operator preview`. It comes through `kubectl exec`: only a whole document counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from virtfn_operator.api.conditions import MESSAGE_LIMIT
from virtfn_operator.api.foreign import entries, mapping, number, text
from virtfn_operator.api.node_state import read_node

VERSION = 1
PFS_LIMIT, LIST_LIMIT = 1024, 32768
WORDLESS = "the node gives no reason"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitSeen:
    """Something that the node could not change at once."""

    device: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PfSeen:
    """What a node would do with one PF or whole function."""

    pf: str
    policies: tuple[str, ...]
    steps: tuple[str, ...]
    displaces: tuple[str, ...]
    """Functions that are taken away or get another driver, so that a turn is needed."""
    calm: bool
    """Whether nothing is displaced, so that it is done at once."""
    blocked: tuple[WaitSeen, ...]
    later: tuple[str, ...]
    """The steps that it would take if what is in the way had gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAnswer:
    """What one node would do."""

    status: Mapping[str, Any]
    """What it would report before it does anything: what the controller decides from."""
    pfs: tuple[PfSeen, ...]
    evict: tuple[str, ...]
    """Pods that it would name to be evicted."""
    hindered: str
    """Why nothing may be displaced there; empty if it may."""


def read_answer(body: object, generation: int) -> NodeAnswer | str | None:
    """Read the answer for a generation.

    Returns:
        The answer; or why the node cannot tell; or None where this is no whole answer to that request.
    """
    found = mapping(body)
    if found.get("version") != VERSION:
        return None
    if isinstance(error := found.get("error"), Mapping):
        reason, message = text(error.get("reason"), 253), text(error.get("message"), MESSAGE_LIMIT)
        return ": ".join(it for it in (reason.strip(), message.strip()) if it) or WORDLESS
    status, pfs = found.get("status"), found.get("pfs")
    if found.get("generation") != generation or not isinstance(status, Mapping) or not isinstance(pfs, list):
        return None
    if number(status.get("observedGeneration")) != generation:
        return None
    if (state := read_node({"metadata": {"name": ""}, "status": status})).unknown:
        return f"its answer cannot be read: {state.unreadable}"
    return NodeAnswer(
        status=status,
        pfs=tuple(_pf(item) for item in entries(pfs, PFS_LIMIT)),
        evict=_texts(found.get("evict")),
        hindered=text(found.get("hindered"), MESSAGE_LIMIT),
    )


def _pf(item: Mapping[str, Any]) -> PfSeen:
    return PfSeen(
        pf=text(item.get("pf"), 32),
        policies=_texts(item.get("policies")),
        steps=_texts(item.get("steps")),
        displaces=_texts(item.get("displaces")),
        calm=item.get("calm") is True,
        blocked=tuple(_wait(it) for it in entries(item.get("blocked"), LIST_LIMIT)),
        later=_texts(item.get("later")),
    )


def _wait(item: Mapping[str, Any]) -> WaitSeen:
    return WaitSeen(
        device=text(item.get("device"), 256),
        reason=text(item.get("reason"), 253),
        message=text(item.get("message"), MESSAGE_LIMIT),
    )


def _texts(value: object) -> tuple[str, ...]:
    listed = value[:LIST_LIMIT] if isinstance(value, list) else []
    return tuple(item[:4096] for item in listed if isinstance(item, str))
