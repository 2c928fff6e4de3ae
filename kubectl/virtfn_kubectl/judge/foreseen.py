"""What a change of policies would do to the fleet, by the functions that decide it in the cluster. Pure.

Theory of operation
===================

1. `asked`: the controller's own decision (`decide`) is made over the lists of the API server, with the policies as they
   would be. Its writes are carried out on copies. So the specs are those that the controller would write, with the
   rejections, the turns and the notes that belong to them.
2. The nodes whose policies change are asked what they would do with that spec (`planning.py`): only they know their
   inventory.
3. `foreseen`: each answer has the status that the node would report before it does anything. With these statuses the
   controller's decision is made once more. It says who gets a turn at once, who waits and in which order, and how each
   policy then stands. A policy that is not in the plan is told where it loses: it gets less than now, or stands worse.

A node that did not answer keeps its present status, which does not answer the new spec: it counts as unknown, never as
one where nothing changes.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from virtfn_kubectl.judge.verdict import Stand, Verdict, policy_verdict, worst
from virtfn_kubectl.read.fleet import PolicySeen, name_of, read_each
from virtfn_kubectl.read.policies import read_policy_seen
from virtfn_kubectl.read.preview import NodeAnswer
from virtfn_operator.api import NODES, POLICIES, POLICY_KIND
from virtfn_operator.api.conditions import ACCEPTED, FALSE, MESSAGE_LIMIT, find
from virtfn_operator.api.foreign import entries, mapping, number, text
from virtfn_operator.api.node_spec import EVICT_LIMIT
from virtfn_operator.api.node_state import REJECTED_LIMIT
from virtfn_operator.api.patch import patched
from virtfn_operator.controller.decide import Decision, Rules, World, decide
from virtfn_operator.controller.evict import Facts
from virtfn_operator.controller.rollout import Rollout
from virtfn_operator.controller.see import Body

NO_ROLLOUT = Rollout()
NEW, CHANGED, UNCHANGED, DELETED = "new", "changed", "unchanged", "deleted"
LOSES = "loses"
"""Of a policy that is not in the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFleet:
    """The fleet as the controller would write it, before any node has answered."""

    world: World
    rules: Rules
    facts: Facts
    now: str
    changes: Mapping[str, str]
    """By policy of the plan, whether it is new, changed, unchanged or deleted."""
    requests: Mapping[str, Mapping[str, Any]]
    """By node that is asked for other policies than now, its new spec and generation, as its preview reads them."""
    stands: Mapping[str, Stand]
    """By policy that is not in the plan, how it stands now."""
    unread: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnForeseen:
    """When a node may carry out what is disruptive."""

    has: bool = False
    """Whether it gets its turn at once."""
    place: int | None = None
    """Its place among those that wait, from 1; with several policies the last of its places."""
    held: str = ""
    """Why it gets no turn for now, however long it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeForeseen:
    """What one node would do."""

    name: str
    answer: NodeAnswer | None = None
    unknown: str = ""
    """Why that is not known."""
    turn: TurnForeseen | None = None
    """None where nothing disruptive is to do."""

    @property
    def steps(self) -> int:
        """The number of steps."""
        return sum(len(part.steps) for part in self.answer.pfs) if self.answer else 0

    @property
    def displaced(self) -> tuple[str, ...]:
        """The functions that are taken away or get another driver."""
        return tuple(it for part in self.answer.pfs for it in part.displaces) if self.answer else ()

    @property
    def held_up(self) -> bool:
        """Whether a change waits for something else than pods that it would evict."""
        if self.answer is None:
            return False
        evict = mapping(mapping(self.answer.status.get("plan")).get("evict"))
        leaving = {text(item.get("device"), 256) for item in entries(evict.get("pods"), EVICT_LIMIT)}
        return any(wait.device not in leaving for part in self.answer.pfs for wait in part.blocked)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyForeseen:
    """How a policy of the plan, or one that loses by it, would stand when all nodes have answered and before the first
    turn has ended."""

    name: str
    change: str
    verdict: Verdict | None
    """None for one that is deleted."""
    matching: int = 0
    rollout: Rollout = NO_ROLLOUT
    rejections: tuple[str, ...] = ()
    """What it does not get, with the winner named; of one that loses, only what is not rejected now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """The answer of `plan`."""

    policies: tuple[PolicyForeseen, ...]
    nodes: tuple[NodeForeseen, ...]
    """Those that are asked for other policies than now."""
    others: int
    """How many other nodes run the agent; nothing changes there."""
    unread: tuple[str, ...] = ()

    @property
    def unknown(self) -> tuple[str, ...]:
        """The nodes of which it is not known what they would do."""
        return tuple(node.name for node in self.nodes if node.answer is None)


def asked(
    world: World, given: Sequence[Body], deleted: Sequence[str], *, rules: Rules, facts: Facts, now: str
) -> AskedFleet:
    """Return the fleet as the controller would write it.

    Args:
        world: what the API server lists.
        given: the policies of the plan, as the API server would store them.
        deleted: names of policies that would be deleted.
        rules: the settings of the installation.
        facts: what is known of Nodes.
        now: RFC 3339.
    """
    before = {name_of(body): body for body in world.policies}
    wanted = {name_of(body): body for body in given}
    changes = {name: _change(before.get(name), body) for name, body in wanted.items()}
    changes |= dict.fromkeys(deleted, DELETED)
    kept = [body for name, body in before.items() if name not in changes]
    policies = [*kept, *({**body, "status": mapping(before.get(n)).get("status")} for n, body in wanted.items())]
    changed = replace(world, policies=policies)
    decision = decide(changed, now, rules, facts=facts)
    made = _written(changed, decision)
    old = {name_of(body): _policies(body) for body in world.states}
    concerned = ((name, body) for body in made.states if _policies(body) != old[name := name_of(body)])
    requests = {name: {"generation": it["metadata"]["generation"], "spec": it["spec"]} for name, it in concerned}
    return AskedFleet(
        world=made,
        rules=rules,
        facts=facts,
        now=now,
        changes=changes,
        requests=dict(sorted(requests.items())),
        stands={it.name: _verdict(it).stand for it in read_each(kept, POLICY_KIND, read_policy_seen)[0]},
        unread=decision.unreadable,
    )


def _change(before: Body | None, after: Body) -> str:
    if before is None:
        return NEW
    same = before.get("spec") == after.get("spec") and _annotations(before) == _annotations(after)
    return UNCHANGED if same else CHANGED


def _annotations(body: Body) -> dict[str, Any]:
    found = mapping(mapping(body.get("metadata")).get("annotations"))
    return {key: value for key, value in found.items() if key.startswith("virtfn.dev/")}


def _policies(body: Body) -> Any:
    return mapping(body.get("spec")).get("policies")


def _written(world: World, decision: Decision) -> World:
    """Return the objects after the writes of a decision, as an API server has them."""
    patches: dict[tuple[str, str], Body] = {(write.plural, write.name): write.patch for write in decision.writes}
    states = [_patched(body, patches.get((NODES, name_of(body)))) for body in world.states]
    policies = [_patched(body, patches.get((POLICIES, name_of(body)))) for body in world.policies]
    return World(policies=policies, states=states, nodes=world.nodes)


def _patched(body: Body, patch: Body | None) -> Body:
    if patch is None:
        return body
    new, metadata = patched(body, patch), mapping(body.get("metadata"))
    more = new.get("spec") != body.get("spec")
    generation = (number(metadata.get("generation")) or 0) + more
    return {**new, "metadata": {**new["metadata"], "generation": generation}}


def foreseen(asked: AskedFleet, answers: Mapping[str, NodeAnswer | str]) -> Foreseen:
    """Return what would happen.

    Args:
        asked: the fleet as the controller would write it.
        answers: by node that is concerned, its answer, or why there is none.
    """
    told = {name: it for name, it in answers.items() if isinstance(it, NodeAnswer)}
    states = [
        {**body, "status": told[name].status} if (name := name_of(body)) in told else body
        for body in asked.world.states
    ]
    decision = decide(replace(asked.world, states=states), asked.now, asked.rules, facts=asked.facts)
    after = _written(replace(asked.world, states=states), decision)
    having = {name_of(body) for body in after.states if mapping(body.get("spec")).get("mayChange") is True}
    nodes = tuple(
        _node(name, answers.get(name, "it was not asked"), having, decision, asked) for name in asked.requests
    )
    return Foreseen(
        policies=_policies_foreseen(asked, after, decision, told),
        nodes=nodes,
        others=len(asked.world.states) - len(nodes),
        unread=asked.unread,
    )


def _node(name: str, answer: NodeAnswer | str, having: set[str], decision: Decision, asked: AskedFleet) -> NodeForeseen:
    if isinstance(answer, str):
        return NodeForeseen(name=name, unknown=answer)
    disruptive = mapping(answer.status.get("plan")).get("disruptive") is True
    turn = _turn(name, having, decision.rollouts, asked) if disruptive else None
    return NodeForeseen(name=name, answer=answer, turn=turn)


def _turn(name: str, having: set[str], rollouts: Mapping[str, Rollout], asked: AskedFleet) -> TurnForeseen:
    if name in having:
        return TurnForeseen(has=True)
    mine = {policy: it for policy, it in rollouts.items() if name in it.waiting}
    if name in asked.facts.cordoned:
        return TurnForeseen(held="an administrator cordoned the node")
    if paused := sorted(policy for policy, it in mine.items() if it.paused):
        return TurnForeseen(held=f"the rollout of policy {paused[0]} is paused")
    if stopped := sorted((policy, it.stopped_by) for policy, it in mine.items() if it.stopped_by not in ("", name)):
        return TurnForeseen(
            held=f"the rollout of policy {stopped[0][0]} is stopped: node {stopped[0][1]} failed in its turn"
        )
    if not mine:
        return TurnForeseen(held="it rests after a turn that could not be used")
    return TurnForeseen(place=max(it.places[name] for it in mine.values()))


def _policies_foreseen(
    asked: AskedFleet, after: World, decision: Decision, told: Mapping[str, NodeAnswer]
) -> tuple[PolicyForeseen, ...]:
    """Return the policies of the plan, by name, and then those that lose by it."""
    seen = {it.name: it for it in read_each(after.policies, POLICY_KIND, read_policy_seen)[0]}
    statuses = {name_of(body): mapping(body.get("status")) for body in asked.world.states}
    refused, lost = _rejections(told, {}), _rejections(told, statuses)
    others = (it for name, it in sorted(seen.items()) if name not in asked.changes)
    losing = (it.name for it in others if it.name in lost or _worse(asked.stands.get(it.name), _verdict(it).stand))
    return (
        *(_policy(*it, seen, refused, decision) for it in sorted(asked.changes.items())),
        *(_policy(name, LOSES, seen, lost, decision) for name in losing),
    )


def _policy(
    name: str,
    change: str,
    seen: Mapping[str, PolicySeen],
    rejections: Mapping[str, Sequence[str]],
    decision: Decision,
) -> PolicyForeseen:
    policy = seen.get(name)
    return PolicyForeseen(
        name=name,
        change=change,
        verdict=_verdict(policy) if policy else None,
        matching=policy.counts.matching if policy else 0,
        rollout=decision.rollouts.get(name, NO_ROLLOUT),
        rejections=tuple(rejections.get(name, ())),
    )


def _verdict(policy: PolicySeen) -> Verdict:
    """Return how a policy stands. What is rejected of it counts also while its nodes change or wait."""
    verdict, accepted = policy_verdict(policy), find(policy.conditions, ACCEPTED)
    if accepted is None or accepted.status != FALSE or worst((verdict.stand, Stand.REJECTED)) is verdict.stand:
        return verdict
    return Verdict(stand=Stand.REJECTED, reason=accepted.reason, message=accepted.message)


def _worse(now: Stand | None, then: Stand) -> bool:
    """Whether a policy would stand worse. Where it is not known how it stands now, all that is bad counts."""
    before = Stand.READY if now is None or now is Stand.UNKNOWN else now
    # A policy is Changing until all steps on its PFs are done, also where it keeps what it has.
    return then is not Stand.CHANGING and worst((before, then)) is not before


def _rejections(told: Mapping[str, NodeAnswer], before: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Sequence[str]]:
    """Return by policy what it does not get, each sentence once, with its nodes.

    Args:
        told: by node, what it answers.
        before: by node, a status; what it rejects is left out.
    """
    where: dict[tuple[str, str, str], list[str]] = {}
    for name, answer in sorted(told.items()):
        known = entries(mapping(before.get(name)).get("rejected"), REJECTED_LIMIT)
        for item in entries(answer.status.get("rejected"), REJECTED_LIMIT):
            if item not in known:
                policy, reason = text(item.get("policy"), 253), text(item.get("reason"), 253)
                key = (policy, reason, text(item.get("message"), MESSAGE_LIMIT))
                where.setdefault(key, []).append(name)
    found: dict[str, list[str]] = defaultdict(list)
    for (policy, reason, message), names in where.items():
        found[policy].append(f"{_on(names)}: {reason}: {message}")
    return found


def _on(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"node{'s' if len(names) > 1 else ''} {', '.join(names[:3])}{more}"


def stand_of(found: Foreseen) -> Stand:
    """Return how the plan as a whole stands: a node that is not known is worst.

    The nodes count beside the policies: of what a node gives back, no policy says that it waits.
    """
    if found.unknown:
        return Stand.UNKNOWN
    policies = (policy.verdict.stand for policy in found.policies if policy.verdict is not None)
    return worst((*policies, *(Stand.BLOCKED for node in found.nodes if node.held_up)))
