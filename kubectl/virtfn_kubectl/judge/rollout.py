"""How far a policy is carried out: which nodes are done, which have their turn, which wait."""

from dataclasses import dataclass

from virtfn_host.core.values.reasons import Reason
from virtfn_kubectl.judge.verdict import Stand, Verdict, outcome_verdict, policy_verdict
from virtfn_kubectl.read.fleet import Fleet, NodeSeen, PolicySeen


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutNode:
    """One node of a rollout."""

    name: str
    stand: Stand
    reason: str
    message: str
    turn: bool
    """Whether it may carry out a disruptive change now."""
    steps_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRollout:
    """The nodes of one policy, and how many of them are done."""

    policy: str
    verdict: Verdict
    matching: int
    done: int
    """Nodes that are as the policy asks, and nodes without a device, where there is nothing to do."""
    nodes: tuple[RolloutNode, ...]
    paused: bool = False
    """Whether no further node gets a turn until somebody resumes the rollout."""
    stopped_by: str = ""
    """The node whose failure holds further turns."""
    next: tuple[str, ...] = ()
    """The first of the nodes that wait, in the order in which they get a turn, as the controller says."""

    @property
    def complete(self) -> bool:
        """Whether no node is left."""
        return self.verdict.stand in (Stand.READY, Stand.WITHOUT_DEVICE) and self.done == self.matching

    @property
    def stopped_by_absent(self) -> bool:
        """Whether the node that failed is not asked to carry it out now: its Node or its labels have gone."""
        return bool(self.stopped_by) and self.stopped_by not in (it.name for it in self.nodes)

    @property
    def with_turn(self) -> tuple[str, ...]:
        """The nodes that have the turn and are not done."""
        return tuple(it.name for it in self.nodes if it.turn and it.stand is not Stand.READY)

    @property
    def waiting(self) -> tuple[str, ...]:
        """The nodes that wait for a turn: first those whose order is known, in that order."""
        names = [it.name for it in self.nodes if it.reason == Reason.WAITING_FOR_TURN and not it.turn]
        ordered = [name for name in self.next if name in names]
        return (*ordered, *(name for name in names if name not in ordered))


def rollout_of(fleet: Fleet, policy: PolicySeen) -> PolicyRollout:
    """Return how far a policy is carried out."""
    nodes = tuple(_node(policy, node) for node in fleet.nodes_of(policy))
    return PolicyRollout(
        policy=policy.name,
        verdict=policy_verdict(policy),
        matching=len(nodes),
        done=sum(node.stand in (Stand.READY, Stand.WITHOUT_DEVICE) for node in nodes),
        nodes=nodes,
        paused=policy.policy.paused,
        stopped_by=policy.rollout.stopped_by,
        next=policy.rollout.next,
    )


def _node(policy: PolicySeen, node: NodeSeen) -> RolloutNode:
    verdict = outcome_verdict(policy, node)
    return RolloutNode(
        name=node.name,
        stand=verdict.stand,
        reason=verdict.reason,
        message=verdict.message,
        turn=node.may_change,
        steps_left=node.state.left,
    )
