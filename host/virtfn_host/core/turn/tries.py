"""judged(...) -> Judged: what is asked, after what was tried for it: used as it came, tried again, or left alone.

The rules (docs/decisions/0024). A result other than asked is used if a policy can be carried out with it: all indexes
that its pools name are there, and one at least of each other pool. Then the number of VFs stays as it is. Otherwise
nothing of the policy is offered on this PF, and the PF waits: a minute after the first try, twice as long after each
further one, an hour at most. The VFs that are there now are judged: what comes or goes between two tries ends no pause,
unless there are as many as asked then. A destructive step is in no plan any more after it was carried out `MOST` times.
A link setting or MTU that is not as asked makes only the settings of its PF and of VFs that are there wait, with the
same pauses. All this ends when policy, card, PF or boot changes: then there are no tries for the wish.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.policy import indexes_text
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import Desired, DesiredPf, Mismatch, NodeConfig, PolicyConfig, Rejected
from virtfn_host.core.values.model import InUse, Observation
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import (
    Blocked,
    Forget,
    NoteClaims,
    PfPlan,
    Plan,
    SetLink,
    SetMtu,
    SetNumVfs,
    Step,
    Unbind,
)
from virtfn_host.core.values.tries import GIVE_BACK, MOST, Destruction, Other, Tried

FIRST, LIMIT = 60.0, 3600.0
"""Seconds until the next try after the first result other than asked, and at most."""

NO_POLICY = "load the PF's driver anew, or write what is asked for to sysfs by hand"

Key: TypeAlias = tuple[Destruction, int | None]


def destruction(step: Step) -> Key | None:
    """Return what a step destroys, with the VF index of an unbind; None if it is not destructive."""
    match step:
        case SetNumVfs(value=0):
            return Destruction.RESIZE, None
        case Unbind(function=function):
            return Destruction.UNBIND, function.index
    return None


def pause_after(tries: int) -> float:
    """Return the seconds until the next try after so many results in a row that were not as asked."""
    return 0.0 if tries < 1 else min(FIRST * 2.0 ** min(tries - 1, 32), LIMIT)


def wish_of(config: NodeConfig, wanted: DesiredPf) -> str:
    """Return the name of what is wanted of a PF: who wants it, and in which edit. The host process adds the card."""
    claims = sorted((p.uid, p.generation) for p in config.policies if p.name in wanted.policies)
    said = ";".join(f"{uid}/{generation}" for uid, generation in claims)
    return hashlib.sha256(said.encode()).hexdigest()[:32] if said else GIVE_BACK


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What is to be done, after what was tried."""

    desired: Desired
    """With what came in place of what was asked, where it is used."""
    plan: Plan
    """Without the steps of PFs that wait; these are blocked."""
    rejected: tuple[Rejected, ...] = ()
    """Policies that cannot be carried out with what came, where others can."""
    notes: tuple[Mismatch, ...] = ()
    """What came and is used."""
    due_in: float | None = None
    """Seconds until the next PF that waits is tried again."""


def judged(config: NodeConfig, seen: Observation, desired: Desired, in_use: InUse, now: float) -> Judged:
    """Plan what is desired, after what was tried for it.

    Args:
        now: seconds since boot.
    """
    tried = {it.pf: it for it in seen.tries}
    wishes = {pf.address: wish_of(config, pf) for pf in desired.pfs}
    tried = {pf: it for pf, it in tried.items() if it.wish == wishes.get(pf)}
    asked = plan(seen.inventory, desired, in_use)
    came = [_came(config, seen, pf, it, asked, now) for pf in desired.pfs if (it := tried.get(pf.address)) is not None]
    used = {it.desired.address: it for it in came if it is not None}
    if used:
        came_pfs = tuple(used[pf.address].desired if pf.address in used else pf for pf in desired.pfs)
        desired = replace(desired, pfs=came_pfs)
        asked = plan(seen.inventory, desired, in_use)
    waits = {pf: it.waits for pf, it in used.items() if it.waits is not None}
    for part in asked.pfs:
        if part.pf not in waits and (wait := _waits(part, tried.get(part.pf), seen.tries_error, now)) is not None:
            waits[part.pf] = wait
    settings = {
        part.pf: wait
        for part in asked.pfs
        if part.pf not in waits and (wait := _settings_wait(part, tried.get(part.pf), seen.tries_error, now))
    }
    dues = [wait.due for wait in (*waits.values(), *settings.values())] + [it.due for it in used.values()]
    due = [at for at in dues if at is not None]
    return Judged(
        desired=desired,
        plan=_without(_without_settings(asked, settings), waits, wishes),
        rejected=tuple(refusal for it in used.values() for refusal in it.rejected),
        notes=tuple(it.note for it in used.values() if it.note is not None),
        due_in=min(due) - now if due else None,
    )


# --- numbers of VFs --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waits:
    """Why a PF waits, and until when (seconds since boot); None: until something changes."""

    reason: Reason
    text: str
    due: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Came:
    """What becomes of a PF with another number of VFs than asked for."""

    desired: DesiredPf
    waits: _Waits | None = None
    rejected: tuple[Rejected, ...] = ()
    note: Mismatch | None = None
    due: float | None = None
    """When it is tried again although it is used; None: not at all."""


def _came(
    config: NodeConfig, seen: Observation, wanted: DesiredPf, tried: Tried, asked: Plan, now: float
) -> _Came | None:
    """Return how a PF goes on with the VFs that are there; None where as many are as asked, or are asked for again."""
    pf, part, other = seen.inventory.pf(wanted.address), asked.pf(wanted.address), tried.number
    if pf is None or part is None or other is None or wanted.num_vfs in (None, pf.num_vfs):
        return None
    spent = _spent(part, tried)
    due = None if spent else other.at + pause_after(other.times)
    changed = pf.num_vfs != other.num_vfs
    if changed:  # by a slow driver, a reset of the card, or another program: that does not end the pause
        other = replace(other, text=f"{other.text}; there are {pf.num_vfs} now", num_vfs=pf.num_vfs)
    claims = [policy for policy in config.policies if policy.name in wanted.policies]
    served = {policy.name for policy in claims if _is_enough(policy, wanted, pf.num_vfs)}
    if (changed or not served) and due is not None and now >= due:
        return None
    if not served:
        text = _spent_text(other, tried) if spent else _pause_text(other, tried)
        kept = replace(wanted, num_vfs=None, vfs=()) if wanted.policies else wanted
        return _Came(desired=kept, waits=_Waits(reason=Reason.DRIVER_MADE_OTHER, text=text, due=due))
    vfs = tuple(vf for vf in wanted.vfs if vf.index < pf.num_vfs and (vf.policy is None or vf.policy in served))
    claimed = [vf.index for vf in vfs if vf.policy is not None]
    text = f"{other.text}; VF {indexes_text(claimed)} of these are used" if claimed else f"{other.text}; used as it is"
    return _Came(
        desired=replace(wanted, num_vfs=None, vfs=vfs),
        rejected=tuple(_refusal(policy, wanted, other) for policy in claims if policy.name not in served),
        note=Mismatch(device=str(wanted.address), reason=Reason.DRIVER_MADE_OTHER, message=text),
        due=due if changed else None,
    )


def _is_enough(policy: PolicyConfig, wanted: DesiredPf, made: int) -> bool:
    """Return whether a policy can be carried out on a PF with so many VFs."""
    if not made or not wanted.num_vfs:
        return False
    claimed = [vf for vf in wanted.vfs if vf.policy == policy.name]
    named = {vf.index for vf in claimed if any(vf.index in (pool.indexes or ()) for pool in policy.pools)}
    if any(index >= made for index in named):
        return False
    rest: dict[str | None, list[int]] = {}
    for vf in claimed:
        if vf.index not in named:
            rest.setdefault(vf.resource_name, []).append(vf.index)
    return all(min(indexes) < made for indexes in rest.values())


def _refusal(policy: PolicyConfig, wanted: DesiredPf, other: Other) -> Rejected:
    missing = [vf.index for vf in wanted.vfs if vf.policy == policy.name and vf.index >= (other.num_vfs or 0)]
    text = f"{other.text}; so VF {indexes_text(missing)} of this policy are missing, and it gets none of this PF"
    return Rejected(policy=policy.name, device=str(wanted.address), reason=Reason.DRIVER_MADE_OTHER, message=text)


# --- waiting ---------------------------------------------------------------------------------------------------------


def _waits(part: PfPlan, tried: Tried | None, unknown: str | None, now: float) -> _Waits | None:
    """Return why the steps of a PF are not carried out now; None where they are."""
    if unknown is not None and any(isinstance(step, SetNumVfs | Unbind) for step in part.steps):
        return _Waits(reason=Reason.UNREADABLE, text=f"{part.pf}: {unknown}", due=None)
    if tried is None or not part.steps:
        return None
    other = tried.binding or tried.number
    if _spent(part, tried):
        text = _spent_text(other, tried) if other else f"{part.pf}: {_spent_by(tried)}"
        return _Waits(reason=Reason.DRIVER_MADE_OTHER, text=text, due=None)
    if tried.binding is None or now >= (due := tried.binding.at + pause_after(tried.binding.times)):
        return None
    return _Waits(reason=Reason.DRIVER_MADE_OTHER, text=_pause_text(tried.binding, tried), due=due)


def _settings_wait(part: PfPlan, tried: Tried | None, unknown: str | None, now: float) -> _Waits | None:
    """Return why the link settings and MTUs of a PF are not set now; None where they are, or there are none to set."""
    if not any(map(_may_wait, part.steps)):
        return None
    if unknown is not None:
        return _Waits(reason=Reason.UNREADABLE, text=f"{part.pf}: {unknown}", due=None)
    if tried is None or (other := tried.setting) is None:
        return None
    due = other.at + pause_after(other.times)
    return _Waits(reason=Reason.DRIVER_MADE_OTHER, text=_pause_text(other, tried), due=due) if now < due else None


def _may_wait(step: Step) -> bool:
    """Whether a step sets something of a function that is there. A VF that this plan makes or binds is set with it: its
    netdev takes a MAC only at the bind."""
    return isinstance(step, SetLink | SetMtu) and step.expects is not None


def _without_settings(asked: Plan, waits: Mapping[PciAddress, _Waits]) -> Plan:
    """Return the plan without the settings that wait. Nor is a PF forgotten that lacks some of its own, and claims that
    only end stay noted, as on every PF of which something waits (`noting.py`)."""
    return Plan(pfs=tuple(_settings_left(part, waits[part.pf]) if part.pf in waits else part for part in asked.pfs))


def _settings_left(part: PfPlan, wait: _Waits) -> PfPlan:
    ends = isinstance(part.steps[-1], NoteClaims)  # new claims are noted first
    steps = part.steps[:-1] if ends else part.steps
    steps = tuple(step for step in steps if not (_may_wait(step) or isinstance(step, Forget)))
    blocked = Blocked(device=part.pf, reason=wait.reason, message=wait.text, holders=(), only_links=True)
    return replace(part, steps=steps, blocked=(*part.blocked, blocked))


def _spent(part: PfPlan, tried: Tried) -> bool:
    """Return whether a step of the plan was carried out often enough for this wish."""
    return any((key := destruction(step)) is not None and tried.times(*key) >= MOST for step in part.steps)


def _way_out(tried: Tried) -> str:
    return NO_POLICY if tried.wish == GIVE_BACK else "edit the policy or load the PF's driver anew"


def _spent_by(tried: Tried) -> str:
    times = f"taken away or unbound {MOST} times for this, and never as asked afterwards"
    return f"{times}; left alone now: {_way_out(tried)}"


def _spent_text(other: Other, tried: Tried) -> str:
    return f"{other.text}; {_spent_by(tried)}"


def _pause_text(other: Other, tried: Tried) -> str:
    times = "once" if other.times == 1 else f"{other.times} times"
    after = f"{pause_after(other.times):.0f} s after the last try"
    return f"{other.text}; tried {times}, again {after}, or at once when you {_way_out(tried)}"


def _without(asked: Plan, waits: Mapping[PciAddress, _Waits], wishes: Mapping[PciAddress, str]) -> Plan:
    """Return the plan with the wish of each PF. Of a PF that waits it has only the first step, if that notes claims."""
    parts = {part.pf: replace(part, wish=wishes.get(part.pf, "")) for part in asked.pfs}
    for pf, wait in waits.items():
        part = parts.get(pf, PfPlan(pf=pf, steps=()))
        blocked = Blocked(device=pf, reason=wait.reason, message=wait.text, holders=(), displaces=part.displaces)
        notes = tuple(step for step in part.steps[:1] if isinstance(step, NoteClaims))
        parts[pf] = PfPlan(pf=pf, steps=notes, blocked=(blocked, *part.blocked), cause=part.cause)
    return Plan(pfs=tuple(parts[pf] for pf in sorted(parts)))
