"""SriovNode.status, from what a round found, did and published. Pure; the caller passes the time.

Two rounds that found the same must give the same status: no ages, no counters of rounds, no order of arrival.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import Rejected
from virtfn_host.core.values.holders import Cause, Holder
from virtfn_host.core.values.indexes import indexes_text
from virtfn_host.core.values.model import Function, InUse, Inventory, Pf, vfs_of
from virtfn_host.core.values.offered import PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.agent.found import Done, Found
from virtfn_operator.agent.leaving import Displacement
from virtfn_operator.agent.naming import Room, named, unnamed
from virtfn_operator.agent.not_offered import NOT_COMPARED, Offers
from virtfn_operator.agent.ready import outcomes, preflight, ready
from virtfn_operator.agent.recall import recalled
from virtfn_operator.agent.usability import notes, pool_statuses, with_withheld, without_empty
from virtfn_operator.api.bounds import cut_text
from virtfn_operator.api.conditions import Condition, read_conditions, upsert
from virtfn_operator.api.node_state import NodeSpec
from virtfn_operator.api.node_status import (
    BlockedStatus,
    EvictPod,
    EvictStatus,
    FunctionStatus,
    NodeStatus,
    NodeSummary,
    PlanStatus,
    PolicyOutcome,
    RejectedStatus,
    State,
    VfRun,
    function_status,
    wire,
)

LIST_LIMIT = 32
"""Entries of a list for people; a count beside it, or its last entry, says how many there are."""

FUNCTIONS_ROOM, BLOCKED_ROOM, EVICT_ROOM = 24 * 1024, 4 * 1024, 12 * 1024
"""Bytes for functions with the holders of their VFs, for holders in a plan, and for pods to evict: the status of a node
with 2,048 VFs stays below 64 KiB. Pods to evict that have no room are named when the first ones have gone."""

FUNCTION = 300
"""Bytes of a function without holders."""

MESSAGES_ROOM, MESSAGE_LIMIT, MESSAGE_LEAST = 6 * 1024, 1024, 128
"""Characters for all messages of one list, and of one message among many, at most and at least; the schema allows more,
but a status stays small."""

RUN_WORDS, EVICT_WORDS = "indexes driver pool heldBy 0", "device namespace name uid"
"""The keys of one run, and of one pod to evict, which take room, too."""

Held = Mapping[PciAddress, tuple[Holder, ...]]
"""The known holders of each function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFacts:
    """Everything that a status is made from."""

    spec: NodeSpec | None
    generation: int
    found: Found
    done: Done
    published: PoolSet
    changing: Reason | None
    """`Changing` or `Drifted` while steps are about to be carried out."""
    agent_version: str
    offers: Offers = NOT_COMPARED
    """How the published pools stand with the kubelet."""
    carried: int = 0
    """Steps of the plan that have ended, while the others are still being carried out."""

    @property
    def refused(self) -> tuple[Rejected, ...]:
        """Policies of the spec that this node cannot read or may not offer to pods."""
        return self.spec.rejected + self.spec.forbidden if self.spec else ()


def node_status(facts: StatusFacts, old: Mapping[str, Any], now: str) -> dict[str, Any]:
    """The whole status as JSON; `old` tells when conditions last changed."""
    found, inventory = facts.found, facts.found.inventory
    verdict = ready(facts.spec, facts.generation, found, facts.done, changing=facts.changing, offers=facts.offers)
    held = _held(found.in_use)
    pools = pool_statuses(facts.published, held, facts.offers.counts or {})
    verdict = with_withheld(verdict, pools)
    status = NodeStatus(
        observed_generation=facts.generation,
        boot_id=inventory.boot_id,
        agent_version=facts.agent_version,
        kernel=inventory.kernel,
        functions=_functions(found, facts.published, held),
        pools=pools,
        plan=_plan(found, facts.done, facts.carried),
        policies=_short(_outcomes(facts)),
        rejected=_rejected(facts.refused + found.resolution.rejected),
        summary=NodeSummary(
            pfs=len(inventory.pfs),
            vfs=sum(pf.num_vfs for pf in inventory.pfs),
            in_use=sum(address in held for address in _offerable(found, facts.published)),
            pools=",".join(f"{pool.resource_name}={pool.healthy}/{pool.capacity}" for pool in pools),
        ),
        conditions=with_conditions(old, (verdict, preflight(facts.generation, found)), now),
    )
    document: dict[str, Any] = wire(status)
    return without_empty(document)


def _outcomes(facts: StatusFacts) -> tuple[PolicyOutcome, ...]:
    """How each policy stands; a policy whose resource name is not allowed here is Rejected instead of Ready."""
    forbidden = {r.policy: r for r in facts.spec.forbidden} if facts.spec else {}
    in_turn = facts.spec is not None and facts.spec.may_change
    changing = facts.changing is not None
    found = outcomes(facts.found, facts.done, changing=changing, offers=facts.offers, in_turn=in_turn)
    return tuple(
        replace(o, state=State.REJECTED, reason=r.reason, message=r.message)
        if (r := forbidden.get(o.name)) and _carried_out(o)
        else o
        for o in found
    )


def _carried_out(outcome: PolicyOutcome) -> bool:
    """Whether the machine is as the policy asks; what pods are offered may be unknown."""
    unknown = outcome.state is State.CHANGING and outcome.reason is Reason.KUBELET_UNREACHABLE
    return outcome.state is State.READY or unknown


def _rejected(claims: Sequence[Rejected]) -> tuple[RejectedStatus, ...]:
    """The first claims, one of each policy before a second one: a policy with many hides no other policy."""
    first = {claim.policy: claim for claim in reversed(claims)}
    fair = sorted(claims, key=lambda claim: claim is not first[claim.policy])
    listed = [
        RejectedStatus(policy=r.policy, device=r.device, reason=r.reason, message=cut_text(r.message, MESSAGE_LIMIT))
        for r in fair[:LIST_LIMIT]
    ]
    if more := len(claims) - len(listed):
        listed[-1] = replace(listed[-1], message=f"{listed[-1].message} (this node has {more} more rejections)")
    return tuple(listed)


def _short(outcomes: Sequence[PolicyOutcome]) -> tuple[PolicyOutcome, ...]:
    most = _most(len(outcomes))
    return tuple(replace(outcome, message=cut_text(outcome.message, most)) for outcome in outcomes)


def _most(number: int) -> int:
    """The characters that each of so many messages may have: they name pods, too."""
    return max(MESSAGE_LEAST, min(MESSAGE_LIMIT, MESSAGES_ROOM // max(number, 1)))


def with_conditions(old: Mapping[str, Any], new: tuple[Condition, ...], now: str) -> tuple[Condition, ...]:
    """The conditions of a status, those in `new` replaced."""
    conditions = read_conditions(old)
    for condition in new:
        conditions = upsert(conditions, condition, now)
    return conditions


def _offerable(found: Found, published: PoolSet) -> set[PciAddress]:
    """Every VF, and each whole function that is offered. Other PFs are left out: each that is up is in use."""
    offered = {device.address for pool in published.pools for device in pool.devices}
    return offered | {vf.address for pf in found.inventory.pfs for vf in pf.vfs}


def _functions(found: Found, published: PoolSet, held: Held) -> tuple[FunctionStatus, ...]:
    offered = {device.address: pool.resource_name for pool in published.pools for device in pool.devices}
    room = Room(FUNCTIONS_ROOM - FUNCTION * len(found.inventory.pfs))
    functions = []
    for function in found.inventory.functions:
        wanted = found.resolution.desired.pf(function.address)
        if not isinstance(function, Pf) and wanted is None and function.address not in offered:
            continue
        runs = _runs(function, offered, held, room)
        whom = room.names(_who(held.get(function.address, ()), function.address)) if function.address in offered else ()
        functions.append(
            function_status(
                function,
                pool=offered.get(function.address),
                held_by=whom,
                policies=wanted.policies if wanted else (),
                vfs=runs,
                notes=notes(function, wanted, found.inventory),
            )
        )
    return tuple(functions)


def _runs(pf: Function, offered: Mapping[PciAddress, str], held: Held, room: Room) -> tuple[VfRun, ...]:
    alike: dict[tuple[str | None, str | None, tuple[Holder, ...] | None], list[int]] = defaultdict(list)
    unlisted: dict[tuple[str | None, str | None], set[Holder]] = defaultdict(set)
    for vf in vfs_of(pf):
        said = (vf.driver, offered.get(vf.address))
        holders = _who(held.get(vf.address, ()), pf.address)
        words = (RUN_WORDS, *(word or "" for word in said), *named(holders))
        listed = not holders or (*said, holders) in alike or room.takes(*words)
        alike[*said, holders if listed else None].append(vf.index)
        unlisted[said].update(() if listed else holders)
    return tuple(
        VfRun(
            indexes=indexes_text(indexes),
            driver=driver,
            pool=pool,
            held_by=(unnamed(len(unlisted[driver, pool])),) if whom is None else named(whom),
        )
        for (driver, pool, whom), indexes in alike.items()
    )


def _held(in_use: InUse) -> Held:
    """The known holders; that holders are unknown is said once, in the conditions."""
    found: dict[PciAddress, tuple[Holder, ...]] = {}
    for holder in in_use.holders:
        if not holder.unknown:
            found[holder.address] = (*found.get(holder.address, ()), holder)
    return found


def _who(holders: tuple[Holder, ...], address: PciAddress) -> tuple[Holder, ...]:
    """Each holder once, all with this address: a pod that holds many functions is one pod.

    That a vfio device is open says nothing more where the pod that has it is known.
    """
    pods = {(holder.address, holder.member) for holder in holders if holder.pod is not None}
    told = (h for h in holders if h.cause is not Cause.ENABLED or (h.address, h.member) not in pods)
    return tuple(dict.fromkeys(replace(holder, address=address) for holder in told))


def _plan(found: Found, done: Done, carried: int) -> PlanStatus | None:
    plan = found.plan
    if not plan.pfs:
        return None
    room, most = Room(BLOCKED_ROOM), _most(min(len(plan.blocked), LIST_LIMIT))
    return PlanStatus(
        steps=max(0, len(plan.steps) - carried),
        disruptive=bool(plan.displaces or found.leaving),
        blocked=tuple(
            BlockedStatus(
                device=str(b.device),
                reason=b.reason,
                message=cut_text(b.message, most),
                pods=room.names(_who(b.holders, b.device)),
            )
            for b in plan.blocked[:LIST_LIMIT]
        ),
        waiting=len(plan.blocked),
        evict=_evict(found.leaving, done.withdrawn) if found.leaving else None,
    )


def _evict(leaving: Displacement, withdrawn: frozenset[PciAddress]) -> EvictStatus:
    room = Room(EVICT_ROOM)
    pods = (
        EvictPod(device=str(p.device), namespace=p.namespace or None, name=p.name or None, uid=p.uid or None)
        for p in leaving.pods
        if room.takes(EVICT_WORDS, str(p.device), p.namespace, p.name, p.uid)
    )
    return EvictStatus(withdrawn=leaving.functions <= withdrawn, pods=tuple(pods))


def recall(old: Mapping[str, Any], inventory: Inventory) -> PoolSet | None:
    """What was published before, from the status; `recall.py` also tells what could not be read."""
    return recalled(old, inventory).pools
