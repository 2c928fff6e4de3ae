"""The device plugin's metrics: what its servers count. A resource that is not served any more has none."""

from collections.abc import Iterator

from virtfn_deviceplugin.manager import ServerManager
from virtfn_host import metrics
from virtfn_host.metrics import Labels, Measured, one


def measured(manager: ServerManager, *, version: str, now: float, wall: float) -> Iterator[Measured]:
    """Yield every metric of the plugin.

    Args:
        manager: the plugin.
        version: this version.
        now: the monotonic clock.
        wall: the same in seconds since 1970.
    """
    yield metrics.built(metrics.PLUGIN, version)
    answers: dict[Labels, float] = {
        (name, outcome): count for name, server in manager.servers.items() for outcome, count in server.answers.items()
    }
    yield Measured(metric=metrics.ALLOCATIONS, values=answers)
    yield one(metrics.REGISTRATIONS, manager.registrations)
    yield one(metrics.LAST_TURN, wall - (now - manager.turned))
