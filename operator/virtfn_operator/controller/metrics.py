"""The controller's metrics: whether it leads, and how policies stand as of its last pass."""

from collections.abc import Iterator

from virtfn_host import metrics
from virtfn_host.metrics import Measured, one
from virtfn_operator.controller.reconcile import Reconciler


def measured(reconciler: Reconciler, *, leads: bool, version: str, now: float, wall: float) -> Iterator[Measured]:
    """Yield every metric of the controller.

    Args:
        reconciler: what runs where it leads.
        leads: whether it leads.
        version: this version.
        now: the event loop's time.
        wall: the same in seconds since 1970.
    """
    yield metrics.built(metrics.CONTROLLER, version)
    yield one(metrics.LEADER, float(leads))
    yield Measured(metric=metrics.POLICY_NODES, values=reconciler.policy_nodes)
    yield Measured(metric=metrics.TURN, durations=reconciler.turns)
    if reconciler.last_turn:
        yield one(metrics.LAST_TURN, wall - (now - reconciler.last_turn))
