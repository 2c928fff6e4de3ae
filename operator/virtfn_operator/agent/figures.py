"""What the last round tells in figures, for the metrics. Pure; the caller passes the time."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Stuck
from virtfn_host.core.values.offered import PoolDevice, PoolSet
from virtfn_host.core.values.reasons import Reason, known_reason
from virtfn_operator.agent.found import Done, Found
from virtfn_operator.agent.report import StatusFacts
from virtfn_operator.api.conditions import READY, TRUE, find, read_conditions

STATES = ("free", "inUse", "unhealthy", "inUseUnhealthy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of one round."""

    functions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Number of functions by pool and state; every state of each pool is there."""
    in_use: int = 0
    offered: Mapping[str, int] = field(default_factory=dict)
    """Functions that the kubelet offers, by resource name; empty while it does not answer."""
    blocked: Mapping[str, int] = field(default_factory=dict)
    """Changes that wait, by reason."""
    stuck_since: float | None = None
    """Since when a write is blocked, by the caller's clock; None: none is."""


NO_FIGURES = Figures()
"""Before the first round."""


def figures(facts: StatusFacts, before: Figures, now: float) -> Figures:
    """Return the figures of a round; `before`: those of the last one."""
    held = {holder.address for holder in facts.found.in_use.holders if not holder.unknown}
    return Figures(
        functions=_functions(facts.published, held),
        in_use=len(held & {device.address for pool in facts.published.pools for device in pool.devices}),
        offered=dict(facts.offers.counts or {}),
        blocked=_blocked(facts.found, facts.done),
        stuck_since=_stuck_since(facts.found.observation.stuck, before, now),
    )


def node_ready(status: Mapping[str, Any]) -> tuple[Reason, bool] | None:
    """Return reason and value of a status' Ready condition; None: it has none."""
    condition = find(read_conditions(status), READY)
    return None if condition is None else (known_reason(condition.reason), condition.status == TRUE)


def _functions(published: PoolSet, held: Collection[PciAddress]) -> dict[tuple[str, str], int]:
    found = {(pool.resource_name, state): 0 for pool in published.pools for state in STATES}
    for pool in published.pools:
        for device in pool.devices:
            found[pool.resource_name, _state(device, held)] += 1
    return found


def _state(device: PoolDevice, held: Collection[PciAddress]) -> str:
    if device.healthy:
        return "inUse" if device.address in held else "free"
    return "inUseUnhealthy" if device.address in held else "unhealthy"


def _blocked(found: Found, done: Done) -> dict[str, int]:
    waiting = (*found.plan.blocked, *((done.obstacle,) if done.obstacle is not None else ()))
    return dict(Counter(str(blocked.reason) for blocked in waiting))


def _stuck_since(stuck: Stuck | None, before: Figures, now: float) -> float | None:
    """The earliest that is known: of another program's unbind it is not known how long it has hung."""
    if stuck is None:
        return None
    since = now - stuck.seconds
    return since if before.stuck_since is None else min(since, before.stuck_since)
