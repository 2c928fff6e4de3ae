"""All policies and nodes at a glance: how each stands, every problem once, and whether versions are mixed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from virtfn_host.core.values.desired import Rejected
from virtfn_host.core.values.reasons import CALM
from virtfn_kubectl.judge.explained import Point, some
from virtfn_kubectl.judge.next_steps import next_step
from virtfn_kubectl.judge.verdict import REJECTIONS, WELL, Stand, Verdict, node_verdict, policy_verdict, worst
from virtfn_kubectl.read.fleet import CountsSeen, Fleet, NodeSeen, PolicySeen, ProblemSeen
from virtfn_operator.api.conditions import PREFLIGHT, TRUE, find

PROBLEMS_LIMIT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """One policy at a glance."""

    name: str
    resources: tuple[str, ...]
    counts: CountsSeen
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRow:
    """One pool of a node at a glance."""

    resource_name: str
    healthy: int
    capacity: int
    in_use: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One node at a glance."""

    name: str
    pfs: int
    vfs: int
    in_use: int
    pools: tuple[PoolRow, ...]
    agent_version: str
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The answer of `status`."""

    policies: tuple[PolicyRow, ...]
    nodes: tuple[NodeRow, ...]
    problems: tuple[Point, ...]
    more: int
    """Problems that are left out."""
    versions: tuple[str, ...]
    """What each version runs on, where there are several; empty where all agents have the same."""
    unread: tuple[str, ...]

    @property
    def stand(self) -> Stand:
        """The worst stand of all, problems without a policy included."""
        of_nodes = (row.verdict.stand for row in self.nodes if row.verdict.stand is not Stand.WITHOUT_DEVICE)
        found = worst([*(row.verdict.stand for row in self.policies), *of_nodes])
        return worst([found, Stand.UNKNOWN]) if self.unread else found


def overview(fleet: Fleet) -> Overview:
    """Return everything at a glance."""
    problems = _together([*_policy_problems(fleet), *_node_problems(fleet)])
    return Overview(
        policies=tuple(_policy_row(policy) for policy in fleet.policies),
        nodes=tuple(_node_row(node) for node in fleet.nodes),
        problems=tuple(problems[:PROBLEMS_LIMIT]),
        more=max(0, len(problems) - PROBLEMS_LIMIT),
        versions=tuple(_versions(fleet)),
        unread=(*fleet.unread, *(f"node {node.name}: {line}" for node in fleet.nodes for line in node.unread)),
    )


def _policy_row(seen: PolicySeen) -> PolicyRow:
    return PolicyRow(name=seen.name, resources=seen.resources, counts=seen.counts, verdict=policy_verdict(seen))


def _node_row(seen: NodeSeen) -> NodeRow:
    pools = tuple(
        PoolRow(resource_name=it.resource_name, healthy=it.healthy, capacity=it.capacity, in_use=it.in_use)
        for it in seen.pools
    )
    return NodeRow(
        name=seen.name,
        pfs=seen.pfs,
        vfs=seen.vfs,
        in_use=seen.in_use,
        pools=pools,
        agent_version=seen.agent_version,
        verdict=node_verdict(seen),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    """One problem of one node, or of a policy everywhere."""

    what: str
    node: str
    stand: Stand
    reason: str
    message: str


def _together(troubles: Iterable[_Trouble]) -> list[Point]:
    """Return problems, each once with all its nodes: a thousand nodes may have the same one."""
    nodes: dict[_Trouble, list[str]] = {}
    for it in troubles:
        nodes.setdefault(replace(it, node=""), []).append(it.node)
    return [_problem(it, sorted({name for name in names if name})) for it, names in nodes.items()]


def _problem(it: _Trouble, names: list[str]) -> Point:
    where = f"node{'s' if len(names) > 1 else ''} {some(names, 3)}" if names else ""
    subject = " on ".join(filter(None, (it.what, where)))
    return Point(subject=subject, stand=it.stand, reason=it.reason, message=it.message, next=next_step(it.reason))


def _policy_problems(fleet: Fleet) -> Iterator[_Trouble]:
    for policy in fleet.policies:
        verdict = policy_verdict(policy)
        untold = verdict.stand not in WELL and not policy.problems
        if untold or isinstance(policy.policy.config, Rejected) or verdict.stand is Stand.WITHOUT_DEVICE:
            yield _trouble(f"policy {policy.name}", "", verdict)
        for it in policy.problems:
            stand = Stand.REJECTED if it.reason in REJECTIONS else verdict.stand
            found = Verdict(stand=stand, reason=it.reason, message=_with_device(it))
            yield _trouble(f"policy {policy.name}", it.node, found)


def _with_device(it: ProblemSeen) -> str:
    return it.message if not it.device or it.device in it.message else f"{it.device}: {it.message}"


def _node_problems(fleet: Fleet) -> Iterator[_Trouble]:
    """Yield what nodes say and no policy does."""
    told = {(it.node, it.reason) for policy in fleet.policies for it in policy.problems}
    for node in fleet.nodes:
        verdict, preflight = node_verdict(node), find(node.state.conditions, PREFLIGHT)
        if verdict.stand not in WELL and (node.name, verdict.reason) not in told and verdict.reason not in CALM:
            yield _trouble("", node.name, verdict)
        elif preflight is not None and preflight.status != TRUE and (node.name, preflight.reason) not in told:
            found = Verdict(stand=Stand.FAILED, reason=preflight.reason, message=preflight.message)
            yield _trouble(PREFLIGHT, node.name, found)


def _trouble(what: str, node: str, verdict: Verdict) -> _Trouble:
    return _Trouble(what=what, node=node, stand=verdict.stand, reason=verdict.reason, message=verdict.message)


def _versions(fleet: Fleet) -> Iterator[str]:
    nodes: dict[str, list[str]] = {}
    for node in fleet.nodes:
        if node.agent_version:
            nodes.setdefault(node.agent_version, []).append(node.name)
    if len(nodes) > 1:
        for version, names in sorted(nodes.items()):
            yield f"{version} on {some(names, 3)}"
