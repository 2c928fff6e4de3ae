"""The two ports of controller, agent and device plugin: health for the kubelet, and metrics where they are asked for.

They are two, so that the kubelet and Prometheus can be let in apart, and no scraper takes a place from a probe
(docs/decisions/0036).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from virtfn_host.health import Health, HealthServer, PageServer
from virtfn_host.metrics import Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsAddress:
    """Where metrics are served."""

    host: str | None
    """An address of this process; None: all."""
    port: int


class Ports:
    """The open ports of one process."""

    def __init__(self, *servers: PageServer) -> None:
        self._servers = servers

    async def close(self) -> None:
        """Stop listening and close every connection."""
        for server in self._servers:
            await server.close()


async def open_ports(
    health_port: int,
    health: Callable[[], Health],
    metrics: MetricsAddress | None = None,
    measured: Callable[[], Iterable[Measured]] = tuple,
) -> Ports:
    """Serve `/healthz` on every address, and `/metrics` where an address is given.

    Args:
        health_port: the port of `/healthz`.
        health: returns the health of the process now.
        metrics: where metrics are served; None: nowhere, and nothing of Prometheus is imported.
        measured: returns the values now.
    """
    server = HealthServer(health)
    await server.start(health_port)
    if metrics is None:
        return Ports(server)
    from virtfn_host.exporter import page  # it takes memory, see there

    exporter = PageServer({"/metrics": lambda: page(measured())})
    try:
        await exporter.start(metrics.port, metrics.host)
    except BaseException:
        await server.close()
        raise
    return Ports(server, exporter)


def ill(ailing: str | None) -> Health:
    """Return the health of a process that is well unless something ails it."""
    return Health(alive=ailing is None, text=ailing or "ok")
