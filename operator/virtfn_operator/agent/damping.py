"""Delays repairs that another program undoes again and again. Pure: the times are arguments.

Two programs that fight over a function would write for ever, as fast as each can look. So from the second undoing
within a minute of a repair on, the next repair waits, twice as long each time, up to ten minutes. Meanwhile the PF
shows as blocked with reason `Drifted`, and the rest of the node goes on. The count starts again after a repair that
lasted for a minute, or after an edit of the policy. It does not start again when a PF is removed and comes back, or
stops matching the policy and matches again: the other program can do that too. The unit is the PF, because its steps
depend on each other.

What a driver made otherwise than asked does not come here: such a PF waits before (core/turn/tries.py) and has no steps
that could be undone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import holder_text
from virtfn_host.core.values.model import Function
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, Report
from virtfn_host.core.values.steps import Blocked, NoteClaims, PfPlan, Plan, Step, describe, pf_of
from virtfn_operator.agent.found import Found

WINDOW = 60.0
"""Seconds after a repair within which an undoing counts as part of the same fight."""

FIRST = 1.0
"""Seconds before the repair that follows the second undoing."""

LIMIT = 600.0
"""Seconds before a repair, at most."""

NAMED = 4
"""Holders that a message names."""

Wish = frozenset[tuple[str, int]]
"""Uid and generation of policies: an edit is another wish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fight:
    """The history of one PF."""

    wish: Wish
    """Every policy that has claimed the PF since the history began, whether it still does or not."""
    settled: bool = False
    """Whether the PF was seen as asked, and not otherwise since."""
    done: frozenset[Step] = frozenset()
    """The steps of the last repair."""
    repaired_at: float | None = None
    undoings: int = 0
    """Undoings in a row, each within `WINDOW` of the repair before."""
    since: str = ""
    pending: bool = False
    """Whether an undoing was seen that is not repaired yet."""
    due: float = 0.0
    text: str = ""


@dataclass(slots=True, kw_only=True)
class Damping:
    """Remembers repairs and undoings of the PFs of one node."""

    _fights: dict[PciAddress, _Fight] = field(default_factory=dict)

    def judge(self, found: Found, *, now: float, wall: float) -> Found:
        """The same look, with each PF whose repair has to wait shown as blocked and without its steps.

        Args:
            now: seconds of a monotonic clock.
            wall: seconds since the epoch, for the message only.
        """
        present = {pf.address for pf in found.inventory.functions}
        self._fights = {a: fight for a, fight in self._fights.items() if a in present or _is_fresh(fight, now)}
        held: dict[PciAddress, _Fight] = {}
        drifted: set[PciAddress] = set()
        for pf in found.inventory.functions:
            fight = self._seen(pf, found, now, wall)
            if fight is not None and fight.pending:
                drifted.add(pf.address)
                if now < fight.due:
                    held[pf.address] = fight
        waits = [fight.due - now for fight in held.values()]
        waits += [] if found.repair_in is None else [found.repair_in]
        return replace(
            found, plan=_without(found, held), drifted=frozenset(drifted), repair_in=min(waits, default=None)
        )

    def repaired(self, report: Report, *, now: float) -> None:
        """Note a report; a PF counts as repaired when all of its steps are done."""
        done: dict[PciAddress, set[Step]] = {}
        failed = {pf_of(result.step) for result in report.results if result.outcome is not Outcome.DONE}
        for result in report.results:
            done.setdefault(pf_of(result.step), set()).add(result.step)
        for address, steps in done.items():
            fight = self._fights.get(address)
            if fight is not None and address not in failed:
                repaired = frozenset(steps) | (frozenset() if fight.pending else fight.done)
                self._fights[address] = replace(
                    fight, settled=False, done=repaired, repaired_at=now, pending=False, due=0.0
                )

    def _seen(self, pf: Function, found: Found, now: float, wall: float) -> _Fight | None:
        claims = _claims(pf.address, found)
        fight = self._fights.get(pf.address)
        if fight is None or not claims <= fight.wish <= _asked(found):
            fight = _Fight(wish=claims)
        part = found.plan.pf(pf.address)
        steps = frozenset(step for step in (part.steps if part else ()) if not isinstance(step, NoteClaims))
        if not steps:
            fight = replace(fight, settled=fight.settled or part is None, pending=False, due=0.0)
        elif not fight.pending and (fight.settled or steps & fight.done):
            fight = _undone(fight, pf, found, now, wall)
        self._fights[pf.address] = fight
        return fight


def _is_fresh(fight: _Fight, now: float) -> bool:
    """Whether to remember the history although its PF is not there."""
    return fight.repaired_at is not None and now - max(fight.repaired_at, fight.due) < WINDOW


def _undone(fight: _Fight, pf: Function, found: Found, now: float, wall: float) -> _Fight:
    again = fight.repaired_at is not None and now - fight.repaired_at < WINDOW
    undoings = fight.undoings + 1 if again else 1
    pause = pause_after(undoings)
    since = fight.since if again and fight.since else _timestamp(wall)
    text = (
        f"{_what(pf, found)}; repaired {undoings - 1} times since {since}, and changed again each time; "
        f"{_who(pf, found)}; the next repair is due at {_timestamp(wall + pause)}. Find what changes it (a udev rule, "
        "a boot script, another operator), or edit the policy to what it should be"
    )
    return replace(fight, settled=False, pending=True, undoings=undoings, since=since, due=now + pause, text=text)


def pause_after(undoings: int) -> float:
    """Seconds before the repair that follows so many undoings in a row; none after the first."""
    return 0.0 if undoings < 2 else min(FIRST * 2.0 ** min(undoings - 2, 32), LIMIT)


def _without(found: Found, held: Mapping[PciAddress, _Fight]) -> Plan:
    return Plan(pfs=tuple(_waiting(part, held[part.pf]) if part.pf in held else part for part in found.plan.pfs))


def _waiting(part: PfPlan, fight: _Fight) -> PfPlan:
    repair = Blocked(device=part.pf, reason=Reason.DRIFTED, message=fight.text, holders=(), displaces=part.displaces)
    return PfPlan(pf=part.pf, steps=(), blocked=(repair, *part.blocked), cause=part.cause)


def _claims(address: PciAddress, found: Found) -> Wish:
    desired = found.resolution.desired.pf(address)
    names = desired.policies if desired is not None else ()
    return frozenset((policy.uid, policy.generation) for policy in found.config.policies if policy.name in names)


def _asked(found: Found) -> Wish:
    return frozenset((policy.uid, policy.generation) for policy in found.config.policies)


def _what(pf: Function, found: Found) -> str:
    functions = {str(function.address) for function in pf.family}
    differs = [mismatch.message for mismatch in found.mismatches if mismatch.device in functions]
    if differs:
        return differs[0] if len(differs) == 1 else f"{differs[0]} (and {len(differs) - 1} more)"
    return f"{pf.address}: to do: {describe(next(step for step in found.plan.steps if pf_of(step) == pf.address))}"


def _who(pf: Function, found: Found) -> str:
    """What has one of the functions open now: the kernel keeps no record of who wrote."""
    functions = {function.address for function in pf.family}
    holders = sorted(
        {
            f"{h.address}: {holder_text(h)}"
            for h in found.in_use.holders
            if h.address in functions and not h.by_pod and not h.unknown
        }
    )
    more = f" and {len(holders) - NAMED} more" if len(holders) > NAMED else ""
    return f"in use now: {', '.join(holders[:NAMED])}{more}" if holders else "nothing shows which program"


def _timestamp(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
