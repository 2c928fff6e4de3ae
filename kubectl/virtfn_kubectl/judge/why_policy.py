"""Why a policy is as it is: what it asks for, on which nodes it is carried out, who waits for whom."""

from collections.abc import Sequence
from dataclasses import replace

from virtfn_host.core.values.desired import PolicyConfig, PoolRequest
from virtfn_host.core.values.indexes import indexes_text
from virtfn_host.core.values.reasons import Reason
from virtfn_kubectl.judge.explained import Explained, Fact, Point, explained, point, some
from virtfn_kubectl.judge.verdict import WORST_FIRST, Stand, Verdict, outcome_verdict, policy_verdict
from virtfn_kubectl.read.fleet import CountsSeen, Fleet, NodeSeen, PolicySeen
from virtfn_kubectl.read.members import MemberSeen
from virtfn_operator.api.policy import Policy
from virtfn_operator.api.selector import LabelSelector, Requirement, matches


def why_policy(fleet: Fleet, policy: PolicySeen, members: Sequence[MemberSeen]) -> Explained:
    """Explain a policy; `members` are the cluster's Nodes, or nothing where they may not be read."""
    nodes = fleet.nodes_of(policy)
    verdict = policy_verdict(policy)
    points = [*_without_agent(policy, fleet, members), *_on_nodes(policy, nodes), *_rejections(policy, nodes)]
    facts = [
        Fact(label="asks for", text=asks_for(policy.policy)),
        Fact(label="on nodes", text=selector_text(policy.policy.selector)),
        Fact(label="nodes", text=counts_text(policy.counts)),
        Fact(label="at once", text=_at_once(policy.policy)),
        Fact(label="has the turn", text=some([node.name for node in turn_holders(nodes)])),
        Fact(label="rollout", text=_held_back(policy)),
    ]
    return explained("policy", policy.name, verdict, facts, points or _own_point(policy, verdict))


def _held_back(policy: PolicySeen) -> str:
    """Return what keeps further nodes from getting a turn; an empty text where nothing does."""
    if policy.policy.paused:
        return f"paused; kubectl virtfn rollout resume {policy.name} lets it go on"
    stopped = policy.rollout.stopped_by
    return f"stopped: node {stopped} failed in its turn, so no further node gets one" if stopped else ""


def turn_holders(nodes: Sequence[NodeSeen]) -> list[NodeSeen]:
    """Return the nodes that may carry out a disruptive change now."""
    return [node for node in nodes if node.may_change]


def _own_point(policy: PolicySeen, verdict: Verdict) -> list[Point]:
    return [] if verdict.stand is Stand.READY else [point(f"policy {policy.name}", verdict)]


def _on_nodes(policy: PolicySeen, nodes: Sequence[NodeSeen]) -> list[Point]:
    """Return a point for every node where something is to be told, the worst first."""
    told = [(node, outcome_verdict(policy, node)) for node in nodes]
    left = [(node, verdict) for node, verdict in told if verdict.stand not in _NOTHING_TO_TELL]
    left = [(node, verdict) for node, verdict in left if not is_rejection(node, policy.name, verdict)]
    left.sort(key=lambda entry: (WORST_FIRST.index(entry[1].stand), entry[0].name))
    turns = tuple(f"node {node.name}, which has the turn" for node in turn_holders(nodes))
    points = [
        (v, point(f"node {n.name}", v, waits_for=waits_for(n, v, turns), device=_device(policy, n))) for n, v in left
    ]
    resume = f"kubectl virtfn rollout resume {policy.name}, when the other nodes may follow"
    return [replace(it, next=resume) if policy.policy.paused and _waits(verdict) else it for verdict, it in points]


def _waits(verdict: Verdict) -> bool:
    return verdict.reason == Reason.WAITING_FOR_TURN


_NOTHING_TO_TELL = frozenset({Stand.READY, Stand.WITHOUT_DEVICE})


def is_rejection(node: NodeSeen, policy: str, verdict: Verdict) -> bool:
    """Whether a verdict on a node is one of the rejections of this policy, which are told by themselves."""
    return verdict.stand is Stand.REJECTED and bool(node.state.refusals.get(policy))


def _device(policy: PolicySeen, node: NodeSeen) -> str | None:
    outcome = node.state.by_uid.get(policy.policy.uid)
    return outcome.device if outcome else None


def waits_for(node: NodeSeen, verdict: Verdict, turns: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a change of a node waits for."""
    if verdict.reason == Reason.WAITING_FOR_TURN:
        return turns
    if verdict.stand is not Stand.BLOCKED:
        return ()
    return tuple(dict.fromkeys(pod for blocked in node.blocked for pod in blocked.pods))


def _rejections(policy: PolicySeen, nodes: Sequence[NodeSeen]) -> list[Point]:
    """Return the rejected claims, each with its nodes: the same rejection of many nodes is one point."""
    where: dict[tuple[str, str, str | None], list[str]] = {}
    for node in nodes:
        for rejected in node.state.refusals.get(policy.name, ()):
            if rejected.reason != Reason.NO_MATCHING_DEVICE:
                where.setdefault((rejected.reason, rejected.message, rejected.device), []).append(node.name)
    return [
        point(
            f"node {some(names)}" if len(names) == 1 else f"nodes {some(names)}",
            Verdict(stand=Stand.REJECTED, reason=reason, message=message),
            device=device,
        )
        for (reason, message, device), names in where.items()
    ]


def _without_agent(policy: PolicySeen, fleet: Fleet, members: Sequence[MemberSeen]) -> list[Point]:
    there = {node.name for node in fleet.nodes}
    missing = [m.name for m in members if m.name not in there and matches(policy.policy.selector, dict(m.labels))]
    if not missing or (policy.policy.selector == LabelSelector() and there):
        return []  # an empty selector means every node that runs the agent, which the chart's nodeSelector decides
    verdict = Verdict(stand=Stand.UNKNOWN, reason="", message="spec.nodeSelector selects it, but no agent runs there")
    return [point(f"node {some(missing)}", verdict)]


def asks_for(policy: Policy) -> str:
    """Return in words what a policy asks for."""
    config = policy.config
    if not isinstance(config, PolicyConfig):
        return ""
    if config.whole is not None:
        return f"whole functions on {config.whole.driver} as {config.whole.resource_name}"
    vfs = "the VFs that are there" if config.count is None else f"{config.count} VFs of each PF"
    return "; ".join([vfs, *map(_pool_text, config.pools)])


def _pool_text(pool: PoolRequest) -> str:
    which = "" if pool.indexes is None else f"VF {indexes_text(pool.indexes)} "
    return f"{which}on {pool.driver} as {pool.resource_name}"


def selector_text(selector: LabelSelector) -> str:
    """Return a node selector as kubectl's `-l` writes it."""
    parts = [f"{key}={value}" for key, value in selector.labels] + [_requirement(it) for it in selector.requirements]
    return "with " + ",".join(parts) if parts else "every node that runs the agent"


def _requirement(it: Requirement) -> str:
    values = f" ({', '.join(sorted(it.values))})" if it.values else ""
    return f"{it.key} {it.operator}{values}"


def counts_text(counts: CountsSeen) -> str:
    """Return the numbers of nodes in words."""
    named = (
        (counts.ready, "ready"),
        (counts.changing, "changing"),
        (counts.blocked, "blocked"),
        (counts.failed, "failed"),
        (counts.without_device, "without a device"),
    )
    parts = ", ".join(f"{number} {word}" for number, word in named if number)
    return f"{counts.matching} match" + (f": {parts}" if parts else "")


def _at_once(policy: Policy) -> str:
    limit = policy.max_unavailable
    amount = f"{limit.amount}%" if limit.percent else str(limit.amount)
    nodes = "nodes" if limit.percent or limit.amount > 1 else "node"
    return f"at most {amount}{' of its' if limit.percent else ''} {nodes} in a disruptive change (maxUnavailable)"
