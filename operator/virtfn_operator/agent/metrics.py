"""The agent's metrics, for its host process, too: what its last round tells (`figures.py`), and what it counts."""

from collections.abc import Iterator
from itertools import product
from typing import get_args

from virtfn_host import metrics
from virtfn_host.core.values.report import Outcome
from virtfn_host.core.values.steps import Step
from virtfn_host.metrics import Measured, one
from virtfn_operator.agent.loop import Agent
from virtfn_operator.agent.machine import NodeMachine

STEPS = tuple(product((kind.__name__ for kind in get_args(Step)), map(str, Outcome)))
"""Kinds of steps with outcomes. Each has a series from the start on: Prometheus sees no rise in a counter that begins
with its first event."""


def measured(
    agent: Agent, machine: NodeMachine, *, node: str, version: str, now: float, wall: float
) -> Iterator[Measured]:
    """Yield every metric of the agent.

    Args:
        agent: the loop.
        machine: what it works on.
        node: the name of its node.
        version: this version.
        now: the event loop's time.
        wall: the same in seconds since 1970.
    """
    found = agent.figures
    yield metrics.built(metrics.AGENT, version)
    if agent.verdict is not None:
        reason, ready = agent.verdict
        yield Measured(metric=metrics.NODE_READY, values={(str(reason),): float(ready)})
    yield Measured(metric=metrics.FUNCTIONS, values={(node, *key): count for key, count in found.functions.items()})
    yield one(metrics.IN_USE, found.in_use)
    yield Measured(metric=metrics.OFFERED, values={(name,): count for name, count in found.offered.items()})
    yield Measured(metric=metrics.BLOCKED, values={(reason,): count for reason, count in found.blocked.items()})
    yield one(metrics.STUCK, 0.0 if found.stuck_since is None else now - found.stuck_since)
    yield Measured(metric=metrics.STEPS, values={key: machine.steps[key] for key in STEPS})
    yield Measured(metric=metrics.APPLY, durations=machine.applies)
    yield Measured(metric=metrics.TURN, durations=agent.turns)
    if agent.last_turn:
        yield one(metrics.LAST_TURN, wall - (now - agent.last_turn))
