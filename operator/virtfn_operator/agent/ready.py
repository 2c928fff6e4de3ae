"""The verdicts on a round: the conditions of the node, and how every policy stands on it. Pure."""

from collections import defaultdict
from collections.abc import Sequence

from virtfn_host.core.checks.drivers import driver_trouble, wanted_driver_trouble
from virtfn_host.core.checks.usable import Hindrance, no_iommu_at_all
from virtfn_host.core.values.desired import Mismatch, PolicyConfig, Rejected
from virtfn_host.core.values.holders import holder_text
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome
from virtfn_host.core.values.steps import Blocked, Plan, pf_of
from virtfn_operator.agent.found import Done, Found, families
from virtfn_operator.agent.naming import Room
from virtfn_operator.agent.not_offered import NOT_COMPARED, Offers
from virtfn_operator.api.bounds import cut_text
from virtfn_operator.api.conditions import FALSE, PREFLIGHT, READY, TRUE, UNKNOWN, Condition
from virtfn_operator.api.node_state import NodeSpec
from virtfn_operator.api.node_status import PolicyOutcome, State

Why = tuple[Reason, str, str | None]
"""Reason, message, device."""

_NOT_WAITING = frozenset({Reason.DRIVER_MADE_OTHER, Reason.UNREADABLE})
"""Why a change is blocked where no holder is waited for: the machine failed, and a rollout must not go on."""

CAUSES_ROOM = 800
"""Bytes for the causes of what is given back. They begin the message, because an event has 1,000 bytes for all of it
(`NOTE_LIMIT` in apiserver/events.py)."""


def ready(
    spec: NodeSpec | None,
    generation: int,
    found: Found,
    done: Done,
    *,
    changing: Reason | None,
    offers: Offers = NOT_COMPARED,
) -> Condition:
    """The Ready condition: the gravest reason that applies.

    Args:
        changing: `Changing` or `Drifted` while steps are about to be carried out, else None.
        offers: how the published pools stand with the kubelet.
    """
    if spec is None:
        text = "the controller has not written spec.policies yet"
        return _condition(READY, UNKNOWN, Reason.CHANGING, text, generation)
    if spec.rejected:
        first = spec.rejected[0]
        whose = f"policy {first.policy}: " if first.policy else ""
        text = f"{whose}{first.message}; this agent cannot read it, so it leaves everything as it is"
        return _condition(READY, FALSE, Reason.INVALID_POLICY, text, generation)
    reason, text = _node_verdict(found, done, changing, offers, in_turn=spec.may_change)
    if reason is Reason.CONVERGED and offers.unknown:
        return _condition(READY, UNKNOWN, Reason.KUBELET_UNREACHABLE, offers.unknown, generation)
    if reason is Reason.CONVERGED and found.notes:
        note = found.notes[0]
        return _condition(READY, TRUE, note.reason, _with_more(note.message, len(found.notes)), generation)
    return _condition(READY, TRUE if reason is Reason.CONVERGED else FALSE, reason, text, generation)


def _node_verdict(
    found: Found, done: Done, changing: Reason | None, offers: Offers, *, in_turn: bool
) -> tuple[Reason, str]:
    if hindrance := halt(found):
        return hindrance
    reason, text = _standing_of_node(found, done, changing, offers, in_turn=in_turn)
    return reason, _given_back(found.plan) + text


def _standing_of_node(
    found: Found, done: Done, changing: Reason | None, offers: Offers, *, in_turn: bool
) -> tuple[Reason, str]:
    if changing is Reason.DRIFTED and found.mismatches:
        return changing, _with_more(found.mismatches[0].message, len(found.mismatches)) + "; it is being repaired"
    if changing is not None:
        return changing, f"{len(found.plan.steps)} steps to do"
    if lasting := offers.lasting:  # before what waits or failed: no pod gets any of these
        return Reason.NOT_OFFERED, _with_more(lasting[0].message, len(lasting))
    if failures := _failures(done):
        return failures[0][0], _with_more(failures[0][1], len(failures))
    if done.obstacle is not None:
        return done.obstacle.reason, done.obstacle.message
    if blocked := _held_up(found):
        return _blocked_reason(found, blocked[0]), _with_more(blocked[0].message, len(blocked))
    if found.leaving and (in_turn or not found.plan.displaces):
        return _evicting(found, done, in_turn=in_turn)
    if found.plan.displaces:
        text = f"{len(found.plan.steps)} steps would disturb {len(found.plan.displaces)} VFs; other nodes go first"
        return Reason.WAITING_FOR_TURN, text
    if differs := found.mismatches:
        return differs[0].reason, _with_more(differs[0].message, len(differs))
    if found.plan.steps:
        return Reason.CHANGING, f"{len(found.plan.steps)} steps to do"
    return Reason.CONVERGED, "everything is as the policies ask"


def _held_up(found: Found) -> list[Blocked]:
    """The changes that wait for something else than pods that are to be evicted."""
    return [blocked for blocked in found.plan.blocked if blocked.device not in found.leaving.devices]


def _evicting(found: Found, done: Done, *, in_turn: bool) -> tuple[Reason, str]:
    names = found.leaving.names
    pods = f"pods {_some(names)}" if names else "a pod that is being started"
    if in_turn and not found.leaving.functions <= done.withdrawn:
        text = "the kubelet still offers some of that to new pods; is the device plugin running?"
        return Reason.EVICTING, f"{pods} will be evicted from what is to be changed; {text}"
    if in_turn:
        return Reason.EVICTING, f"{pods} must leave first, and the policy asks to evict them"
    return Reason.WAITING_FOR_TURN, f"{pods} would be evicted; other nodes go first"


def _given_back(plan: Plan) -> str:
    """Why something is given back, for the beginning of a message: each cause with its PFs while there is room, and
    the number of the others; or nothing."""
    pfs: dict[str, list[str]] = defaultdict(list)
    for part in plan.pfs:
        if part.cause is not None:
            pfs[part.cause].append(str(part.pf))
    if not pfs:
        return ""
    texts = [
        f"{_some(of)} {'is' if len(of) == 1 else 'are'} given back, all or in part: {cause}"
        for cause, of in pfs.items()
    ]
    room = Room(CAUSES_ROOM)
    told = [text for text in texts if room.takes(text)] or [cut_text(texts[0], CAUSES_ROOM)]
    return f"{_with_more('; '.join(told), len(texts) - len(told) + 1)}; "


def preflight(generation: int, found: Found) -> Condition:
    """The Preflight condition: whether this node can carry out anything at all."""
    reason, text = Reason.CONVERGED, "IOMMU, modules, in-use lock, journal and kubelet are in order"
    if hindrance := halt(found):
        reason, text = hindrance
    elif found.silence is not None:
        reason, text = found.silence[0], f"{found.silence[1]}; every function counts as in use"
    elif (bare := no_iommu_at_all(found.inventory)) is not None and not found.unsafe:
        reason, text = bare.reason, bare.text
    elif found.lock_error is not None:
        text = f"{found.lock_error}; until then no function is taken from a driver, and no link is set"
        reason = Reason.UNREADABLE
    elif trouble := _drivers(found):
        reason, text = trouble.reason, trouble.text
    elif lost := found.inventory.unreadable:
        reason, text = Reason.UNREADABLE, _with_more(f"{lost[0].path}: {lost[0].error}", len(lost))
    elif bare is not None:
        text = "UNSAFE: vfio does without an IOMMU here, and a policy accepts that; modules, in-use lock, journal and"
        text += " kubelet are in order"
    return _condition(PREFLIGHT, TRUE if reason is Reason.CONVERGED else FALSE, reason, text, generation)


def _drivers(found: Found) -> Hindrance | None:
    """Trouble with a driver that a policy of this node wants, or with vfio-pci where no policy wants any."""
    wanted = (trouble for pf in found.resolution.desired.pfs if (trouble := wanted_driver_trouble(found.inventory, pf)))
    return next(wanted, None) or driver_trouble(found.inventory, "vfio-pci")


def unreachable(generation: int, reason: Reason, error: str) -> Condition:
    """The Ready condition, Unknown, while the host process does not answer or refuses requests."""
    return _condition(READY, UNKNOWN, reason, error, generation)


def halt(found: Found) -> tuple[Reason, str] | None:
    """Why nothing may be touched at all, or None."""
    if (stuck := found.observation.stuck) is not None:
        held = (holder for address in stuck.held for holder in found.in_use.of(address))
        pods = sorted({holder_text(holder) for holder in held if holder.by_pod})
        whose = f"; held for {', '.join(pods)}" if pods else ""
        return Reason.STUCK, f"{stuck.text}{whose}; nothing is written on this node until it returns: end what holds it"
    if found.observation.journal_error is not None:
        return Reason.JOURNAL_UNREADABLE, f"{found.observation.journal_error}; repair or remove it by hand"
    return None


def outcomes(
    found: Found, done: Done, *, changing: bool, offers: Offers = NOT_COMPARED, in_turn: bool = False
) -> tuple[PolicyOutcome, ...]:
    """How every policy stands on this node."""
    return tuple(_outcome(policy, found, done, changing, offers, in_turn) for policy in found.config.policies)


def _outcome(
    policy: PolicyConfig, found: Found, done: Done, changing: bool, offers: Offers, in_turn: bool
) -> PolicyOutcome:
    state, (reason, message, device) = _standing(policy, found, done, changing, in_turn)
    if state is State.READY and (lasting := offers.of(policy.resource_names)):
        state, reason, message = State.FAILED, Reason.NOT_OFFERED, lasting.message
    elif state is State.READY and offers.unknown and policy.resource_names:
        # Changing: a node in its turn keeps it until the kubelet answers.
        state, reason, message = State.CHANGING, Reason.KUBELET_UNREACHABLE, offers.unknown
    return PolicyOutcome(
        name=policy.name,
        uid=policy.uid,
        generation=policy.generation,
        state=state,
        reason=reason,
        message=message,
        device=device,
    )


def _standing(policy: PolicyConfig, found: Found, done: Done, changing: bool, in_turn: bool) -> tuple[State, Why]:
    pfs = {str(pf.address) for pf in found.resolution.desired.pfs if policy.name in pf.policies}
    family = {str(function): str(pf) for function, pf in families(found.inventory).items()}
    rejected = [r for r in found.resolution.rejected if r.policy == policy.name]
    if hindrance := halt(found):
        return State.FAILED, (*hindrance, None)
    parts = [part for part in found.plan.pfs if str(part.pf) in pfs]
    waiting = [blocked for part in parts for blocked in part.blocked if blocked.device not in found.leaving.devices]
    if done.obstacle is not None and family.get(str(done.obstacle.device), str(done.obstacle.device)) in pfs:
        waiting.append(done.obstacle)
    failed = [why for why in _failures(done) if why[2] in pfs]
    failed += [(m.reason, m.message, m.device) for m in found.mismatches if family.get(m.device, m.device) in pfs]
    steps = sum(len(part.steps) for part in parts)
    if changing and steps:
        return State.CHANGING, (Reason.CHANGING, f"{steps} steps to do", None)
    if any(result in pfs for result in _failed_pfs(done)):
        return State.FAILED, failed[0]
    if given_up := [blocked for part in parts for blocked in part.blocked if blocked.reason in _NOT_WAITING]:
        return State.FAILED, (given_up[0].reason, given_up[0].message, str(given_up[0].device))
    if waiting:
        return State.BLOCKED, (_blocked_reason(found, waiting[0]), waiting[0].message, str(waiting[0].device))
    if any(blocked.device in found.leaving.devices for part in parts for blocked in part.blocked):
        return State.CHANGING, (*_evicting(found, done, in_turn=in_turn), None)
    if steps:
        reason = Reason.WAITING_FOR_TURN if found.plan.displaces else Reason.CHANGING
        return State.CHANGING, (reason, f"{steps} steps to do", None)
    if failed:
        return State.FAILED, failed[0]
    return _without_work(rejected, pfs, [note for note in found.notes if family.get(note.device, note.device) in pfs])


def _without_work(rejected: list[Rejected], pfs: set[str], notes: list[Mismatch]) -> tuple[State, Why]:
    for claim in rejected:
        state = State.WITHOUT_DEVICE if claim.reason is Reason.NO_MATCHING_DEVICE else State.REJECTED
        return state, (claim.reason, claim.message, claim.device)
    for note in notes:
        return State.READY, (note.reason, note.message, note.device)
    return State.READY, (Reason.CONVERGED, f"{len(pfs)} devices are as asked", None)


def _failures(done: Done) -> list[Why]:
    return [
        (result.reason or Reason.WRITE_REFUSED, result.message, str(pf_of(result.step)))
        for report in done.reports
        for result in report.results
        if result.outcome is Outcome.FAILED
    ]


def _failed_pfs(done: Done) -> set[str]:
    return {device for _, _, device in _failures(done) if device is not None}


def _blocked_reason(found: Found, blocked: Blocked) -> Reason:
    """The reason; where holders are unknown, why they are unknown instead of VfsInUse."""
    silence = found.silence
    return silence[0] if silence is not None and blocked.reason is Reason.VFS_IN_USE else blocked.reason


def _with_more(text: str, number: int) -> str:
    return text if number < 2 else f"{text} (and {number - 1} more)"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _condition(kind: str, status: str, reason: Reason, message: str, generation: int) -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message, observed_generation=generation)
