"""Why a pod has its functions, or none: what it asks for, which nodes could give it, what the kubelet said."""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from virtfn_host.core.values.reasons import Reason
from virtfn_kubectl.judge.explained import Explained, Fact, Point, explained, some
from virtfn_kubectl.judge.held import functions_of
from virtfn_kubectl.judge.room import free_on, nodes_for, room_points
from virtfn_kubectl.judge.verdict import Stand, Verdict
from virtfn_kubectl.read.fleet import Fleet
from virtfn_kubectl.read.members import EventSeen, MemberSeen, PodSeen

EVENTS_LIMIT = 5

AGAIN = "the kubelet does not try again: delete the pod, so that its owner makes a new one"

_OF_PLUGIN = re.compile(r"desc = (.+?)(?:, which is unexpected)?$", re.DOTALL)
"""What the device plugin said, in the kubelet's sentence around it (pkg/kubelet/lifecycle and grpc's status)."""


def why_pod(
    fleet: Fleet, pod: PodSeen, members: Sequence[MemberSeen] = (), events: Sequence[EventSeen] | None = ()
) -> Explained:
    """Explain a pod.

    Args:
        fleet: policies and nodes.
        pod: the pod.
        members: the cluster's Nodes, or nothing where they may not be read.
        events: the pod's events, in any order; None where they may not be read.
    """
    offered = offered_names(fleet)
    asks = tuple((name, number) for name, number in pod.asks if name in offered)
    facts = [
        Fact(label="phase", text=", ".join(filter(None, (pod.phase, pod.reason, "ending" if pod.ending else "")))),
        Fact(label="asks for", text=", ".join(f"{name}: {number}" for name, number in asks or pod.asks)),
        Fact(label="node", text=pod.node or "none yet"),
        *(Fact(label="has", text=text) for text in functions_of(fleet, pod.words)),
        *(Fact(label="scheduler", text=pod.unscheduled) for _ in range(bool(pod.unscheduled))),
        *(
            Fact(label="event", text=text)
            for text in event_texts(events or ())
            if not pod.unscheduled or pod.unscheduled not in text
        ),
    ]
    verdict, points = _answer(fleet, pod, asks, members, events)
    return explained("pod", pod.words, verdict, facts, points)


def offered_names(fleet: Fleet) -> frozenset[str]:
    """Return every resource name that a policy or a node has."""
    of_nodes = {pool.resource_name for node in fleet.nodes for pool in node.pools}
    return frozenset(of_nodes.union(*(policy.resources for policy in fleet.policies)))


def event_texts(events: Sequence[EventSeen]) -> list[str]:
    """Return the last warnings, the newest last."""
    warnings = sorted((it for it in events if it.kind == "Warning"), key=lambda it: it.time)
    return [f"{it.time} {it.reason}: {it.message}" for it in warnings[-EVENTS_LIMIT:]]


_Answer = tuple[Verdict, list[Point]]


def _answer(
    fleet: Fleet,
    pod: PodSeen,
    asks: tuple[tuple[str, int], ...],
    members: Sequence[MemberSeen],
    events: Sequence[EventSeen] | None,
) -> _Answer:
    if not asks:
        return _asks_for_nothing(fleet, pod)
    if pod.ending:
        return _said(Stand.CHANGING, "Ending", "it is ending; its functions are free when it has ended"), []
    match pod.phase:
        case "Running":
            return _running(fleet, pod)
        case "Succeeded":
            return _said(Stand.READY, "Ended", "it has ended, so it holds no function any more"), []
        case "Failed":
            return _failed(pod)
    return _starting(pod, events) if pod.node else _unscheduled(fleet, pod, asks, members)


def _asks_for_nothing(fleet: Fleet, pod: PodSeen) -> _Answer:
    offered = sorted(offered_names(fleet))
    near = [(name, get_close_matches(name, offered, 1)) for name, _ in pod.asks]
    points = [_misnamed(pod, name, guess, offered) for name, guess in near if guess or name.startswith("virtfn.dev/")]
    if points:
        text = "it asks for a resource that no policy offers"
        return _said(Stand.REJECTED, Reason.NO_MATCHING_DEVICE, text), points
    text = "it asks for no resource of a policy, so virtfn gives it nothing"
    return _said(Stand.WITHOUT_DEVICE, "", text), [_named_none(pod, offered)]


def _misnamed(pod: PodSeen, name: str, guess: list[str], offered: list[str]) -> Point:
    step = f"did you mean {guess[0]}?" if guess else f"policies offer {some(offered) or 'nothing'}"
    message = f"{name}: no policy offers it"
    return _point(f"pod {pod.words}", Stand.REJECTED, Reason.NO_MATCHING_DEVICE, message, step)


def _named_none(pod: PodSeen, offered: list[str]) -> Point:
    step = f"name one in resources.limits: {some(offered)}" if offered else "apply a SriovPolicy first"
    message = "no container asks for a resource that a policy offers"
    return _point(f"pod {pod.words}", Stand.WITHOUT_DEVICE, "", message, step)


def _running(fleet: Fleet, pod: PodSeen) -> _Answer:
    held = functions_of(fleet, pod.words)
    text = f"it runs with {some(held)}" if held else "it runs; the node's status does not name its functions yet"
    return _said(Stand.READY, "Running", text), []


def _failed(pod: PodSeen) -> _Answer:
    told = _OF_PLUGIN.search(pod.message)
    message = (told[1] if told else pod.message) or "the kubelet gives no message"
    whose = "the device plugin refused it" if told else "the kubelet refused it or it ended with an error"
    verdict = _said(Stand.FAILED, pod.reason or "Failed", whose)
    step = AGAIN if pod.reason == "UnexpectedAdmissionError" or told else "read the pod's log"
    return verdict, [_point(f"node {pod.node or '?'}", Stand.FAILED, pod.reason or "Failed", message, step)]


def _starting(pod: PodSeen, events: Sequence[EventSeen] | None) -> _Answer:
    warnings = sorted((it for it in events or () if it.kind == "Warning"), key=lambda it: it.time)
    last = [(it.reason, it.message) for it in warnings[-1:]] or [entry for entry in pod.waits if entry[1]][:1]
    if not last:
        unknown = "; what is in its way is not known: its events could not be read" if events is None else ""
        return _said(Stand.CHANGING, "Starting", f"node {pod.node} is starting it{unknown}"), []
    reason, message = last[0]
    step = "mend what the message says; the kubelet tries again by itself"
    verdict = _said(Stand.BLOCKED, reason, f"node {pod.node} cannot start it yet")
    return verdict, [_point(f"node {pod.node}", Stand.BLOCKED, reason, message, step)]


def _unscheduled(
    fleet: Fleet, pod: PodSeen, asks: tuple[tuple[str, int], ...], members: Sequence[MemberSeen]
) -> _Answer:
    points = [point for name, number in asks for point in room_points(fleet, pod, name, number, members)]
    nodes = nodes_for(fleet, pod, asks[0][0], members)
    if not nodes:
        text = f"no node has {asks[0][0]}"
        return _said(Stand.BLOCKED, Reason.NO_MATCHING_DEVICE, text), points
    least, most = (
        any(all(free_on(node, name)[end] >= number for name, number in asks) for node in nodes) for end in (0, 1)
    )
    if not most:
        return _said(Stand.BLOCKED, Reason.VFS_IN_USE, "no node has enough free functions for it"), points
    text = f"virtfn {'has' if least else 'may have'} free functions for it"
    return _said(Stand.BLOCKED, "Unschedulable", f"{text}; the scheduler's message says what else is missing"), points


def _said(stand: Stand, reason: str, message: str) -> Verdict:
    return Verdict(stand=stand, reason=reason, message=message)


def _point(subject: str, stand: Stand, reason: str, message: str, step: str) -> Point:
    return Point(subject=subject, stand=stand, reason=reason, message=message, next=step)
