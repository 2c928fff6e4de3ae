"""Decides which pods to evict, from what the nodes say of them and what the API server shows of them. Pure.

A status names the pods that hold what a plan changes. It may be old: a pod may have ended, and another one of the same
name, which holds nothing, may have taken its place. The kubelet tells no uids, and no two clocks are compared. So the
controller asks once more:

1. it reads the node's pods and writes the uids of those to evict into the spec (`ask`), which is a new generation;
2. the agent looks again, as after each change of its spec, and its status answers that generation;
3. only pods that this status still names are evicted (`now`), each with its uid as the precondition.

The pod of this uid was there at 1 and a pod of this name held the function after 1. If these are two pods, the first
has ended, and the API server refuses the precondition. Nothing of this is remembered, so a controller that starts anew
goes on where the other one ended.

A pod is evicted only while its node has its turn, is not cordoned, and says that the kubelet offers nothing any more of
what is changed; and only if everything else that the same change waits for can be evicted, too.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from virtfn_host.core.values.reasons import Reason
from virtfn_operator.api.foreign import entries, mapping, text
from virtfn_operator.api.node_spec import PodId
from virtfn_operator.api.node_state import DisplacedPod, NodeState
from virtfn_operator.controller.turns import read_time

MIRROR = "kubernetes.io/config.mirror"
"""The annotation of a mirror pod: the kubelet runs it from a file of the node, and its eviction would end nothing."""

SPARED = frozenset({"kube-system"})
"""Namespaces of which no pod is evicted, beside virtfn's own; the chart's admission policy allows no such eviction."""


class Said(StrEnum):
    """What an answer to an eviction means."""

    DONE = "done"  # accepted, or the pod is gone, or another one has its name
    REFUSED = "refused"  # by a PodDisruptionBudget, a missing right or an admission webhook
    LATER = "later"  # no answer, or a server that is busy; if it lasts, it counts like a refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictionAnswer:
    """The last answer to the eviction of one pod."""

    said: Said
    text: str = ""
    """What the API server said, if the pod is not evicted; for a refusal it names the PodDisruptionBudget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodOnNode:
    """A pod of a node as the API server shows it; pods that have ended are not shown."""

    id: PodId
    pinned: str = ""
    """Why it is not evicted: it would come back on the same node, or is in a namespace that is left alone; or empty."""
    ending: bool = False
    """Whether it is being deleted already."""
    until: datetime | None = None
    """When it should have ended, if it is being deleted: after its grace period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of Nodes and pods for this decision."""

    cordoned: frozenset[str] = frozenset()
    pods: Mapping[str, tuple[PodOnNode, ...] | str] = field(default_factory=dict)
    """Pods by node, of nodes that evict; instead of them the error, if they could not be read."""
    answers: Mapping[str, EvictionAnswer] = field(default_factory=dict)
    """The last answer to each eviction that was sent, by the pod's uid. A controller that has just started has none."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """By node, the last refusal."""


NO_FACTS = Facts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Eviction:
    """A pod to evict now."""

    node: str
    pod: PodId


@dataclass(frozen=True, slots=True, kw_only=True)
class Evicting:
    """What to do about the pods that one node waits for, in its turn."""

    ask: tuple[PodId, ...] = ()
    """Pods that its agent is to look for once more; part of its spec."""
    now: tuple[PodId, ...] = ()
    why: tuple[Reason, str] | None = None
    """Why evictions alone do not help at the moment, so that the turn ends some time; None: they go on."""
    hopeless: bool = False
    """Whether nothing can be evicted at all, so that there is no use in waiting."""
    untold: bool = False
    """Whether a pod to evict now has no answer yet (this controller has just started, or asks for the first time), or
    the pods could not be read now."""
    until: datetime | None = None
    """When the last of the pods that are ending should have ended; None: none is ending."""


def read_pods(bodies: Iterable[Mapping[str, Any]], spared: Set[str] = SPARED) -> tuple[PodOnNode, ...]:
    """Read pods, or their metadata alone; those without a name or uid are left out.

    Args:
        bodies: the pods.
        spared: namespaces of which no pod is evicted.
    """
    pods = (_read_pod(body, spared) for body in bodies)
    return tuple(pod for pod in pods if pod.id.namespace and pod.id.name and pod.id.uid)


def _read_pod(body: Mapping[str, Any], spared: Set[str]) -> PodOnNode:
    metadata = mapping(body.get("metadata"))
    name = {key: text(metadata.get(key), 253) for key in ("namespace", "name", "uid")}
    deleted = metadata.get("deletionTimestamp")
    return PodOnNode(
        id=PodId(**name), pinned=_pinned(metadata, spared), ending=bool(deleted), until=_read_until(deleted)
    )


def _read_until(value: object) -> datetime | None:
    try:
        return read_time(text(value, 64))
    except ValueError:
        return None


def _pinned(metadata: Mapping[str, Any], spared: Set[str]) -> str:
    if MIRROR in mapping(metadata.get("annotations")):
        return "is a static pod: move its file away on the node"
    for owner in entries(metadata.get("ownerReferences"), 64):
        if owner.get("kind") == "DaemonSet" and owner.get("controller") is True:
            return f"belongs to the DaemonSet {text(owner.get('name'), 253)}, which would make it again here: end it"
    if (namespace := text(metadata.get("namespace"), 253)) in spared:
        return f"is in the namespace {namespace}, of which virtfn evicts no pod: end it yourself"
    return ""


def evicting(state: NodeState, facts: Facts) -> Evicting:
    """Return what to do about the pods that a node with its turn waits for."""
    asked = state.spec.evict if state.spec else ()
    found = facts.pods.get(state.name)
    if not state.heard:
        return Evicting(ask=asked)
    if state.displaced is None or not state.displaced.withdrawn or state.name in facts.cordoned:
        return Evicting(ask=asked)
    if found is None:
        return Evicting(ask=asked, untold=True)
    if isinstance(found, str):
        why = Reason.EVICTION_BLOCKED, f"cannot read the pods of the node: {found}"
        # Where this turn had pods evicted, a 403 may be of one API server that is not well.
        return Evicting(ask=asked, why=why, hopeless=not asked)
    return _evicting(state.displaced.pods, found, asked, facts.answers)


def _evicting(
    named: tuple[DisplacedPod, ...],
    found: tuple[PodOnNode, ...],
    asked: tuple[PodId, ...],
    answers: Mapping[str, EvictionAnswer],
) -> Evicting:
    waits: dict[str, list[PodOnNode]] = {}
    for pod in named:
        waits.setdefault(pod.device, []).extend(seen for seen in found if _is(pod, seen.id))
    helpless = {device for device, pods in waits.items() if any(_stays(pod) for pod in pods)}
    wanted = {pod.id: pod for device, pods in waits.items() if device not in helpless for pod in pods}
    ids = sorted(wanted)
    now = tuple(pod for pod in ids if pod in asked and not wanted[pod].ending)
    return Evicting(
        ask=asked if set(ids) <= set(asked) else tuple(ids),
        now=now,
        hopeless=bool(helpless) and not ids,
        untold=any(pod.uid not in answers for pod in now),
        why=_refused(now, answers) or _left([pod for device in sorted(helpless) for pod in waits[device]]),
        until=max((pod.until for pods in waits.values() for pod in pods if pod.until), default=None),
    )


def _stays(pod: PodOnNode) -> bool:
    return bool(pod.pinned) and not pod.ending


def _is(named: DisplacedPod, pod: PodId) -> bool:
    if named.uid and named.uid != pod.uid:
        return False
    return bool(named.uid) or (named.namespace, named.name) == (pod.namespace, pod.name)


def _refused(pods: Iterable[PodId], answers: Mapping[str, EvictionAnswer]) -> tuple[Reason, str] | None:
    """Why a pod is not evicted; a refusal is told before what has no answer yet."""
    told = [(pod, answers[pod.uid]) for pod in pods if pod.uid in answers]
    told = [(pod, answer) for pod, answer in told if answer.said is not Said.DONE]
    if not told:
        return None
    pod, answer = min(told, key=lambda one: one[1].said is not Said.REFUSED)
    what = "is refused" if answer.said is Said.REFUSED else "has not gone through"
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    return Reason.EVICTION_BLOCKED, f"the eviction of pod {pod} {what}: {answer.text}{more}"


def _left(pods: Iterable[PodOnNode]) -> tuple[Reason, str] | None:
    texts = [f"pod {pod.id} is not evicted: it {pod.pinned}" for pod in pods if _stays(pod)]
    return (Reason.VFS_IN_USE, texts[0]) if texts else None


def waits_for_pods(state: NodeState) -> bool:
    """Whether a node has its turn and names pods to evict."""
    return state.has_turn and state.displaced is not None and bool(state.displaced.pods)


def disturbs(state: NodeState) -> bool:
    """Whether a node has its turn or wants one."""
    return state.has_turn or state.disruptive
