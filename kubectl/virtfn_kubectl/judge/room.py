"""Which nodes have room for a pod that waits, and why the others have none."""

from collections.abc import Sequence

from virtfn_host.core.values.reasons import Reason
from virtfn_kubectl.judge.explained import Point
from virtfn_kubectl.judge.held import counted, holders_of
from virtfn_kubectl.judge.next_steps import next_step
from virtfn_kubectl.judge.verdict import Stand, outcome_verdict
from virtfn_kubectl.read.fleet import Fleet, NodeSeen
from virtfn_kubectl.read.members import MemberSeen, PodSeen
from virtfn_operator.api.node_status import PoolStatus


def pool_of(node: NodeSeen, resource: str) -> PoolStatus | None:
    """Return the node's pool of a resource name."""
    return next((pool for pool in node.pools if pool.resource_name == resource), None)


def offered_by(pool: PoolStatus) -> int:
    """Return how many functions pods may have of a pool, as far as is known."""
    return pool.healthy if pool.offered is None else min(pool.healthy, pool.offered)


def free_on(node: NodeSeen, resource: str) -> tuple[int, int]:
    """Return how many functions of a resource are left for new pods on a node, at least and at most.

    What only a process of no pod has open is withheld and in use; it counts once. One that a pod has counts twice if it
    is withheld, as for the scheduler: that takes what pods asked for off what the kubelet offers. Where the status does
    not name holders, either may be so.
    """
    if (pool := pool_of(node, resource)) is None:
        return 0, 0
    by_pods, by_others = counted(node, resource)
    left, withheld = offered_by(pool) - pool.in_use, pool.capacity - pool.healthy
    return max(0, left + min(by_others, withheld)), max(0, left + min(pool.in_use - by_pods, withheld))


def nodes_for(fleet: Fleet, pod: PodSeen, resource: str, members: Sequence[MemberSeen]) -> list[NodeSeen]:
    """Return the nodes with a pool of this resource that the pod's nodeSelector selects."""
    return [node for node in _selected(fleet, pod, members) if pool_of(node, resource) is not None]


def room_points(fleet: Fleet, pod: PodSeen, resource: str, number: int, members: Sequence[MemberSeen]) -> list[Point]:
    """Return, for each node that has or should have the resource, what stands in the pod's way."""
    by_name = {member.name: member for member in members}
    named = _offering(fleet, resource)
    points = [
        _on(fleet, node, by_name.get(node.name), resource, number)
        for node in _selected(fleet, pod, members)
        if pool_of(node, resource) is not None or not named.isdisjoint(node.asked)
    ]
    return points or [_nowhere(pod, resource, sorted(named))]


def _offering(fleet: Fleet, resource: str) -> set[str]:
    return {policy.name for policy in fleet.policies if resource in policy.resources}


def _selected(fleet: Fleet, pod: PodSeen, members: Sequence[MemberSeen]) -> list[NodeSeen]:
    if not pod.selector or not members:
        return list(fleet.nodes)
    fits = {member.name for member in members if set(pod.selector) <= set(member.labels)}
    return [node for node in fleet.nodes if node.name in fits]


def _nowhere(pod: PodSeen, resource: str, policies: list[str]) -> Point:
    whose = f"policy {policies[0]}" if policies else "no policy"
    if pod.selector:
        selector = ",".join(f"{key}={value}" for key, value in pod.selector)
        message = f"no node with {selector}, the pod's nodeSelector, has {resource} ({whose} offers it)"
        return _point("nodes", Reason.NO_MATCHING_DEVICE, message, "compare the pod's nodeSelector with the policy's")
    message = f"no node has {resource} ({whose} offers it)"
    step = f"kubectl virtfn why policy/{policies[0]}" if policies else "apply a policy that offers it"
    return _point("nodes", Reason.NO_MATCHING_DEVICE, message, step)


def _on(fleet: Fleet, node: NodeSeen, member: MemberSeen | None, resource: str, number: int) -> Point:
    subject, pool = f"node {node.name}", pool_of(node, resource)
    if member is not None and (away := _away(member)):
        return _point(subject, *away)
    if pool is None:
        return _without_pool(fleet, node, resource)
    if pool.offered is not None and pool.offered < pool.healthy:
        message = f"{pool.healthy} of {resource} are published, and the kubelet offers {pool.offered}"
        return _point(subject, Reason.NOT_OFFERED, message, next_step(Reason.NOT_OFFERED))
    if number > pool.capacity:
        message = f"the pod asks for {number}, and the node has {pool.capacity} in all"
        return _point(subject, "Unschedulable", message, "ask for fewer, or raise count in the policy")
    least, most = free_on(node, resource)
    if number > most:
        return _exhausted(node, pool, number)
    if number > least:
        return _unknown(node, pool, least, most)
    message = f"{least} of {resource} are free: virtfn is no obstacle here"
    return _point(subject, "", message, "the scheduler's message says what else is missing")


def _away(member: MemberSeen) -> tuple[str, str, str] | None:
    if member.cordoned:
        return Reason.NODE_CORDONED, "the node is cordoned", f"kubectl uncordon {member.name}"
    if not member.ready:
        return "NotReady", "its kubelet is not ready", f"kubectl describe node {member.name}"
    return None


def _without_pool(fleet: Fleet, node: NodeSeen, resource: str) -> Point:
    for policy in fleet.policies:
        if resource in policy.resources and policy.name in node.asked:
            verdict = outcome_verdict(policy, node)
            message = f"policy {policy.name}: {verdict.message}"
            return _point(f"node {node.name}", verdict.reason, message, next_step(verdict.reason))
    return _point(f"node {node.name}", Reason.NO_MATCHING_DEVICE, f"it has no {resource}", "")


def _exhausted(node: NodeSeen, pool: PoolStatus, number: int) -> Point:
    if pool.withheld and pool.healthy < number:
        first = pool.withheld[0]
        text = f"{first.number} of {pool.capacity} are withheld: {first.message}"
        return _point(f"node {node.name}", first.reason, text, next_step(first.reason))
    message = f"{pool.in_use} of {pool.capacity} of {pool.resource_name} are in use, and the pod asks for {number}"
    return Point(
        subject=f"node {node.name}",
        stand=Stand.BLOCKED,
        reason=Reason.VFS_IN_USE,
        message=message,
        waits_for=holders_of(node, pool.resource_name),
        next="wait until one of these ends, or offer more: raise count, or let the policy select more nodes",
    )


def _unknown(node: NodeSeen, pool: PoolStatus, least: int, most: int) -> Point:
    withheld = pool.capacity - pool.healthy
    message = (
        f"between {least} and {most} of {pool.resource_name} are free: {pool.in_use} are in use, {withheld} withheld,"
        " and the status does not tell how many are both"
    )
    return _point(f"node {node.name}", "Unschedulable", message, "the scheduler's message says what is missing")


def _point(subject: str, reason: str, message: str, step: str) -> Point:
    return Point(subject=subject, stand=Stand.BLOCKED, reason=reason, message=message, next=step)
