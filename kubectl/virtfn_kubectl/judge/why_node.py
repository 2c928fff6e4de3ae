"""Why a node is as it is: its agent, its functions and pools, and what stands in the way of each policy."""

from collections.abc import Iterator, Sequence

from virtfn_host.core.values.reasons import CALM, Reason
from virtfn_kubectl.judge.explained import Explained, Fact, Point, explained, point, some
from virtfn_kubectl.judge.verdict import Stand, Verdict, node_verdict, outcome_verdict
from virtfn_kubectl.judge.why_policy import is_rejection, turn_holders, waits_for
from virtfn_kubectl.read.fleet import Fleet, NodeSeen
from virtfn_kubectl.read.members import MemberSeen, PodSeen
from virtfn_operator.api.conditions import PREFLIGHT, READY, TRUE, find
from virtfn_operator.api.node_status import PoolStatus

NOTES_LIMIT = 5


COMPONENTS = ("agent", "deviceplugin")
"""The parts of virtfn that have a pod on every node."""


def why_node(
    fleet: Fleet, node: NodeSeen, member: MemberSeen | None = None, pods: Sequence[PodSeen] | None = None
) -> Explained:
    """Explain a node; its Node and virtfn's pods on it are None where they may not be read."""
    verdict = _known_better(node_verdict(node), fleet, node)
    points = [
        *_silent(node.name, member, "its agent may be gone and what is said here may be old"),
        *_pods(node.name, pods),
        *_outcomes(fleet, node),
        *_rejected(node),
        *_preflight(node),
        *_withheld(node),
        *_unread(node.name, node.unread),
    ]
    if not points and verdict.stand is not Stand.READY:
        points = [point(f"node {node.name}", verdict)]
    return explained("node", node.name, verdict, [*_facts(node), *_member(member)], points)


def why_unreported(
    fleet: Fleet, name: str, member: MemberSeen | None, pods: Sequence[PodSeen] | None
) -> Explained | None:
    """Explain a node without a SriovNode; None if it has neither a Node nor a pod of virtfn."""
    if member is None and not pods:
        return None
    verdict = Verdict(stand=Stand.UNKNOWN, reason="", message="its agent has never reported")
    points = [
        *_silent(name, member, "its agent may not run"),
        *_pods(name, pods),
        *_unread(name, fleet.unread),  # its SriovNode may be one of these
    ]
    return explained("node", name, verdict, _member(member), points or [point(f"node {name}", verdict)])


def _known_better(verdict: Verdict, fleet: Fleet, node: NodeSeen) -> Verdict:
    """Return what holds up a node that takes itself for one that goes on: it knows of no cordon and of no budget."""
    if verdict.stand is not Stand.CHANGING:
        return verdict
    told = (outcome_verdict(policy, node) for policy in fleet.policies if policy.policy.uid in node.state.by_uid)
    return next((found for found in told if found.stand is Stand.BLOCKED), verdict)


def _facts(node: NodeSeen) -> list[Fact]:
    left = f"{node.state.left} steps left" + (", disruptive" if node.state.disruptive else "")
    return [
        Fact(label="agent", text=f"virtfn {node.agent_version or '?'}, kernel {node.kernel or '?'}"),
        Fact(label="functions", text=f"{node.pfs} PFs, {node.vfs} VFs, {node.in_use} in use"),
        *(Fact(label="pool", text=pool_text(pool)) for pool in node.pools),
        Fact(label="policies", text=some(list(node.asked)) or "none selects it"),
        Fact(label="plan", text=left if node.state.left else ""),
        Fact(label="turn", text="it may carry out a disruptive change now" if node.may_change else ""),
        *(Fact(label="note", text=note) for note in _notes(node)),
    ]


def _notes(node: NodeSeen) -> list[str]:
    """Return the first notes of the node's functions, and how many more there are."""
    notes = [f"{function.address}: {note}" for function in node.functions for note in function.notes]
    more = len(notes) - NOTES_LIMIT
    return notes[:NOTES_LIMIT] + ([f"and {more} more"] if more > 0 else [])


def pool_text(pool: PoolStatus) -> str:
    """Return a pool's numbers in words."""
    offered = "the kubelet does not answer" if pool.offered is None else f"{pool.offered} offered by the kubelet"
    numbers = f"{pool.healthy} of {pool.capacity} healthy, {offered}, {pool.in_use} in use"
    return f"{pool.resource_name}: {numbers}"


def _silent(name: str, member: MemberSeen | None, then: str) -> Iterator[Point]:
    """Yield that the agent may be gone: a dead agent cannot take back what it said."""
    if member is not None and not member.ready:
        message = f"its kubelet is not ready, so {then}"
        yield _point(f"Node {name}", Stand.UNKNOWN, "NotReady", message, f"kubectl describe node {name}")


def _pods(name: str, pods: Sequence[PodSeen] | None) -> Iterator[Point]:
    """Yield what is wrong with virtfn's own pods on a node."""
    for component in COMPONENTS if pods is not None else ():
        own = [pod for pod in pods or () if pod.component == component]
        if not own:
            message = f"no pod of virtfn-{component} is on this node"
            step = f"compare the chart's values nodes.* with the node: kubectl describe node {name}"
            yield _point(f"virtfn-{component}", Stand.FAILED, "", message, step)
        elif not any(pod.phase == "Running" and not pod.waits for pod in own):
            yield _unwell(component, own[0])


def _unwell(component: str, pod: PodSeen) -> Point:
    reason, message = next(iter(pod.waits), (pod.reason or pod.phase, pod.message or "it does not run"))
    step = f"kubectl describe pod -n {pod.namespace} {pod.name}"
    return _point(f"virtfn-{component}, pod {pod.words}", Stand.FAILED, reason, message or "it waits", step)


def _point(subject: str, stand: Stand, reason: str, message: str, step: str) -> Point:
    return Point(subject=subject, stand=stand, reason=reason, message=message, next=step)


def _member(member: MemberSeen | None) -> list[Fact]:
    if member is None:
        return []
    words = ["Ready" if member.ready else "NotReady", *(["cordoned"] if member.cordoned else [])]
    return [Fact(label="Node", text=f"{', '.join(words)}, kubelet {member.kubelet or '?'}")]


def _outcomes(fleet: Fleet, node: NodeSeen) -> Iterator[Point]:
    for policy in fleet.policies:
        if policy.name not in node.asked and policy.policy.uid not in node.state.by_uid:
            continue
        verdict = outcome_verdict(policy, node)
        if verdict.stand not in (Stand.READY, Stand.WITHOUT_DEVICE) and not is_rejection(node, policy.name, verdict):
            others = turn_holders(fleet.nodes_of(policy))
            turns = tuple(f"node {it.name}, which has the turn" for it in others)
            outcome = node.state.by_uid.get(policy.policy.uid)
            device = outcome.device if outcome else None
            yield point(f"policy {policy.name}", verdict, waits_for=waits_for(node, verdict, turns), device=device)


def _rejected(node: NodeSeen) -> Iterator[Point]:
    for rejected in node.state.rejected:
        if rejected.reason != Reason.NO_MATCHING_DEVICE:
            verdict = Verdict(stand=Stand.REJECTED, reason=rejected.reason, message=rejected.message)
            yield point(f"policy {rejected.policy or '?'}", verdict, device=rejected.device)


def _preflight(node: NodeSeen) -> Iterator[Point]:
    """Yield the conditions that are not true, other than Ready, which is the verdict."""
    for condition in node.state.conditions:
        if condition.type != READY and condition.status != TRUE:
            stand = Stand.FAILED if condition.type == PREFLIGHT else Stand.UNKNOWN
            verdict = Verdict(stand=stand, reason=condition.reason, message=condition.message)
            yield point(condition.type, verdict)
    ready = find(node.state.conditions, READY)
    own = {outcome.reason for outcome in node.state.policies}
    if ready is not None and ready.status != TRUE and ready.reason not in own and node.state.policies:
        yield point(f"node {node.name}", node_verdict(node))


def _withheld(node: NodeSeen) -> Iterator[Point]:
    for pool in node.pools:
        for withheld in pool.withheld:
            named = some(list(withheld.devices), 3)
            stand = Stand.CHANGING if withheld.reason in CALM else Stand.FAILED
            verdict = Verdict(stand=stand, reason=withheld.reason, message=withheld.message)
            yield point(f"{withheld.number} of {pool.resource_name} ({named})", verdict)


def _unread(name: str, lines: Sequence[str]) -> Iterator[Point]:
    for line in lines:
        yield point(f"node {name}", Verdict(stand=Stand.UNKNOWN, reason=Reason.UNREADABLE, message=line))
