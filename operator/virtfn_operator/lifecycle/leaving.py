"""What is left of virtfn while it is uninstalled: on a node by its SriovNode, and of its pods. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from virtfn_operator.api.conditions import read_conditions
from virtfn_operator.api.foreign import entries, mapping, number, text
from virtfn_operator.api.patch import merge_patch

GIVEN_UP: Mapping[str, Any] = {"policies": [], "mayChange": True}
"""The spec of a SriovNode of which nothing is asked any more: its agent gives everything back."""

NOT_ASKED = "is not asked to give back yet"

HELD_LIMIT, FUNCTIONS_LIMIT, RUNS_LIMIT = 256, 1024, 4096
"""The schema's bounds."""

WORDS = 1024


class Left(StrEnum):
    """How far a node is."""

    NOTHING = "nothing"
    """Everything is given back."""
    HELD = "held"
    """Functions are in use; all the others are given back."""
    SOMETHING = "something"
    """It is at work, it failed, or its agent does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLeft:
    """What is left on one node."""

    node: str
    left: Left
    lines: tuple[str, ...] = ()
    """One line for each thing that is left: the device, and who holds it or what hinders."""


def giving_up(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the patch that asks nothing of a node any more; empty where that is so."""
    spec = merge_patch(mapping(body.get("spec")), GIVEN_UP)
    return {"spec": spec} if spec else {}


def left_on(body: Mapping[str, Any]) -> NodeLeft:
    """Return what is left on a node, as its SriovNode tells."""
    metadata, status = mapping(body.get("metadata")), mapping(body.get("status"))
    node = text(metadata.get("name"), 253)
    if giving_up(body):
        return NodeLeft(node=node, left=Left.SOMETHING, lines=(NOT_ASKED,))
    if not status:
        return NodeLeft(node=node, left=Left.SOMETHING, lines=("its agent has never reported",))
    if _number(status, "observedGeneration") < _number(metadata, "generation"):
        return NodeLeft(node=node, left=Left.SOMETHING, lines=("its agent does not answer",))
    ready = next((c for c in read_conditions(status) if c.type == "Ready"), None)
    blocked = entries(mapping(status.get("plan")).get("blocked"), HELD_LIMIT)
    more = _number(mapping(status.get("plan")), "waiting") - len(blocked)
    lines = (*(_line(one, status) for one in blocked), *((f"and {more} more changes wait",) if more > 0 else ()))
    if blocked and more <= 0 and all(one.get("pods") for one in blocked):
        return NodeLeft(node=node, left=Left.HELD, lines=lines)
    if "plan" not in status and ready is not None and ready.status == "True":
        return NodeLeft(node=node, left=Left.NOTHING)
    why = f"{ready.reason}: {ready.message}" if ready is not None else "its agent has not told how it is"
    return NodeLeft(node=node, left=Left.SOMETHING, lines=(why, *lines))


def _line(blocked: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """`0000:01:00.0: held by pod default/dpdk-0`. The VFs of a PF may name more holders than its change does."""
    device = text(blocked.get("device"), 253)
    if not (names := _holders([blocked.get("pods")])):
        return f"{device}: {text(blocked.get('message'), WORDS)}"
    functions = (it for it in entries(status.get("functions"), FUNCTIONS_LIMIT) if it.get("address") == device)
    of_vfs = [run.get("heldBy") for it in functions for run in entries(it.get("vfs"), RUNS_LIMIT)]
    names = max(_holders(of_vfs), names, key=len)
    return f"{device}: held by {', '.join(names)}"


def _holders(lists: Iterable[object]) -> list[str]:
    """Return the holders in lists of them, each once."""
    every = (text(one) for found in lists if isinstance(found, list) for one in found[:HELD_LIMIT])
    return list(filter(None, dict.fromkeys(every)))


def _number(fields: Mapping[str, Any], name: str) -> int:
    return number(fields.get(name)) or 0


def said(found: Iterable[NodeLeft]) -> list[str]:
    """Return what to tell of all nodes: those where something is left, each with what it is, and how many are done."""
    nodes = sorted(found, key=lambda one: one.node)
    done = sum(one.left is Left.NOTHING for one in nodes)
    lines = [f"{done} of {len(nodes)} nodes have given everything back"]
    lines += [f"left on node {one.node}: {line}" for one in nodes if one.left is not Left.NOTHING for line in one.lines]
    return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """How far the pods are that clean the nodes."""

    ends: tuple[str, ...]
    """Pods of virtfn that have not ended, and still may write files."""
    waits: tuple[str, ...]
    """Nodes that are not clean yet."""
    missing: int = 0
    """Nodes without such a pod, or 1 where their number is not known yet."""

    @property
    def done(self) -> bool:
        """Whether every node is clean."""
        return not self.ends and not self.waits and not self.missing


COMPONENT = "app.kubernetes.io/component"


def cleaned(pods: Iterable[Mapping[str, Any]], cleaner: str, cleaners: Mapping[str, Any] | None) -> Cleaned:
    """Return how far the pods of this installation are.

    Args:
        pods: all of them.
        cleaner: the component whose pods clean the nodes.
        cleaners: their DaemonSet; None: there is none, and no node is cleaned.
    """
    ends, waits, ready = [], [], 0
    for pod in pods:
        metadata = mapping(pod.get("metadata"))
        component = mapping(metadata.get("labels")).get(COMPONENT)
        if component == cleaner:
            conditions = entries(mapping(pod.get("status")).get("conditions"), 64)
            if any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions):
                ready += 1
            else:
                waits.append(text(mapping(pod.get("spec")).get("nodeName"), 253) or "(not chosen yet)")
        elif component in ("agent", "deviceplugin", "bootunit"):
            ends.append(text(metadata.get("name"), 253))
    if cleaners is None:
        return Cleaned(ends=tuple(sorted(ends)), waits=())
    status = mapping(cleaners.get("status"))
    seen = _number(status, "observedGeneration") >= max(1, _number(mapping(cleaners.get("metadata")), "generation"))
    missing = max(0, _number(status, "desiredNumberScheduled") - ready - len(waits))
    return Cleaned(ends=tuple(sorted(ends)), waits=tuple(sorted(waits)), missing=missing if seen else max(1, missing))
