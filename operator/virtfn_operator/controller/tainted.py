"""When a node loses its start-up taint, `virtfn.dev/not-ready`. Pure; `startup_taint.py` reads and writes the Nodes.

A node loses it when its agent has reported in the node's present boot, nothing of its policies is on the way or failed,
and the kubelet offers what the agent says is healthy. Its kubelet says which boot is the present one.
"""

from collections.abc import Mapping
from typing import Any

from virtfn_operator.api.conditions import READY, find
from virtfn_operator.api.foreign import entries, mapping, number
from virtfn_operator.api.node_resources import allocatable
from virtfn_operator.api.node_state import NodeState
from virtfn_operator.api.node_status import State

TAINT = "virtfn.dev/not-ready"

POOLS_LIMIT = 1024
"""Pools of a status that are read; the schema refuses more."""

_AT_REST = frozenset({State.READY, State.WITHOUT_DEVICE, State.REJECTED})
"""States of a policy on a node that time alone does not change."""


def at_rest(state: NodeState) -> bool:
    """Whether a node has carried out what it is asked, as far as its agent says."""
    settled = all(outcome.state in _AT_REST for outcome in state.policies)
    return state.heard and not state.disruptive and settled and _all_told(state)


def _all_told(state: NodeState) -> bool:
    """Whether its agent says how each policy stands: of an empty report nothing follows."""
    return state.spec is not None and state.spec.uids <= state.by_uid.keys()


def unrest(state: NodeState) -> str:
    """Return why a node is not at rest: its worst policy, if its agent names one, or its Ready condition."""
    for word in (State.FAILED, State.BLOCKED, State.CHANGING):
        for outcome in state.policies:
            if outcome.state is word:
                return f"policy {outcome.name or '?'} is {word} ({outcome.reason})"
    if not state.heard:
        return "its agent has not answered yet"
    what = "a change is under way" if _all_told(state) else "its agent does not say how each policy stands"
    ready = find(state.conditions, READY)
    return what if ready is None else f"{what} (Ready is {ready.status}: {ready.reason})"


def boot_of(body: Mapping[str, Any]) -> str:
    """Return the boot in which the agent reported last; empty if it did not say."""
    boot = mapping(body.get("status")).get("bootId")
    return boot if isinstance(boot, str) else ""


def why_not(body: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    """Return why a node that is at rest is not ready yet; empty if it is.

    Args:
        body: its SriovNode.
        node: its Node.
    """
    status = mapping(node.get("status"))
    boot = mapping(status.get("nodeInfo")).get("bootID")
    if not boot or boot != boot_of(body):
        return f"its agent has not reported since it booted ({boot})"
    offered = allocatable(node)
    for pool in entries(mapping(body.get("status")).get("pools"), POOLS_LIMIT):
        name, healthy = pool.get("resourceName"), number(pool.get("healthy")) or 0
        if isinstance(name, str) and offered.get(name, 0) < healthy:
            return f"the kubelet offers {offered.get(name, 0)} of {healthy} {name[:253]}"
    return ""


def tainted(node: Mapping[str, Any]) -> bool:
    """Whether a Node has the start-up taint, with whatever effect and value."""
    return any(_is_ours(taint) for taint in _taints(node))


def removal(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the patch that removes the start-up taint and no other.

    A patch replaces the whole list, so it is good only for the version that was read: the API server refuses it if
    another client has changed the Node.
    """
    kept = [taint for taint in _taints(node) if not _is_ours(taint)]
    version = mapping(node.get("metadata")).get("resourceVersion")
    return {"metadata": {"resourceVersion": version}, "spec": {"taints": kept or None}}


def _taints(node: Mapping[str, Any]) -> list[Any]:
    found = mapping(node.get("spec")).get("taints")
    return found if isinstance(found, list) else []


def _is_ours(taint: object) -> bool:
    return mapping(taint).get("key") == TAINT
