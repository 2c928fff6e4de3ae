"""The answer to "what would this node do?": the status it would report and the steps it would take. Pure.

It is made by what decides in a round (`loop.py`): the same look, the same plan, the same status, before anything is
done. Who asks gives the spec that the controller would write. The answer is one JSON document; `kubectl virtfn plan`
reads it (decision 0041).
"""

from collections.abc import Mapping
from typing import Any

from virtfn_host.core.turn.tries import judged
from virtfn_host.core.values.desired import NodeConfig
from virtfn_host.core.values.model import InUse
from virtfn_host.core.values.offered import PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import NoteClaims, PfPlan, Plan, describe
from virtfn_operator.agent.found import Done, Found
from virtfn_operator.agent.report import StatusFacts, node_status
from virtfn_operator.api.node_state import NodeSpec

VERSION = 1
"""Of the document; another one when a field changes its meaning."""

REQUEST_LIMIT = 2 * 1024 * 1024
"""Bytes of a request; the longest spec has a quarter of that."""

_TOLD = ("observedGeneration", "agentVersion", "plan", "policies", "rejected", "conditions")
"""What of the status is part of the answer: what the controller decides from. The inventory stays on the node."""


def asked_config(spec: NodeSpec) -> NodeConfig | None:
    """Return the policies to look with; None where this version cannot read them, as in a round."""
    return None if spec.rejected else spec.config


def answer(
    spec: NodeSpec, generation: int, found: Found, *, version: str, now: str, since_boot: float
) -> dict[str, Any]:
    """Return what this node would do.

    Args:
        spec: what it would be asked.
        generation: the generation of that spec.
        found: a look at the machine with `asked_config`.
        version: the agent's.
        now: RFC 3339.
        since_boot: the time of the look, in seconds since the machine booted.
    """
    carried_out = not spec.rejected
    acts = carried_out and found.acts(may_change=spec.may_change)
    facts = StatusFacts(
        spec=spec,
        generation=generation,
        found=found,
        done=Done(),
        published=PoolSet(boot_id="", pools=()),
        changing=Reason.CHANGING if acts else None,
        agent_version=version,
    )
    status = node_status(facts, {}, now)
    calm = {part.pf for part in found.plan.calm.pfs}
    later = {part.pf: part for part in _without_holders(found, since_boot).pfs}
    told = [part for part in found.plan.pfs if carried_out and not found.halted and _tells(part)]
    return {
        "version": VERSION,
        "generation": generation,
        "status": {key: status[key] for key in _TOLD if key in status},
        "pfs": [_part(part, later.get(part.pf), found, calm=part.pf in calm) for part in told],
        "evict": list(found.leaving.names) if carried_out else [],
        "hindered": found.lock_error if carried_out and found.plan.displaces else None,
    }


def _tells(part: PfPlan) -> bool:
    return bool(part.blocked) or not all(isinstance(step, NoteClaims) for step in part.steps)


def _without_holders(found: Found, since_boot: float) -> Plan:
    """Return the plan as it would be if nothing were in the way of a change any more."""
    waits = [blocked for blocked in found.plan.blocked if blocked.reason is Reason.VFS_IN_USE]
    held = {holder.member or holder.address for blocked in waits for holder in blocked.holders}
    if not held:
        return Plan(pfs=())
    left = InUse(holders=tuple(h for h in found.in_use.holders if (h.member or h.address) not in held))
    return judged(found.config, found.observation, found.resolution.desired, left, since_boot).plan


def _steps(part: PfPlan | None) -> list[str]:
    return [describe(step) for step in (part.steps if part else ()) if not isinstance(step, NoteClaims)]


def _part(part: PfPlan, later: PfPlan | None, found: Found, *, calm: bool) -> dict[str, Any]:
    wanted = found.resolution.desired.pf(part.pf)
    waits = any(blocked.reason is Reason.VFS_IN_USE for blocked in part.blocked)
    return {
        "pf": str(part.pf),
        "policies": list(wanted.policies) if wanted else [],
        "steps": _steps(part),
        "displaces": sorted(map(str, part.displaces)),
        "calm": calm,
        "blocked": [{"device": str(b.device), "reason": str(b.reason), "message": b.message} for b in part.blocked],
        "later": _steps(later) if waits else [],
    }


def refusal(reason: str, message: str) -> Mapping[str, Any]:
    """Return the answer where the node cannot tell."""
    return {"version": VERSION, "error": {"reason": reason, "message": message}}
