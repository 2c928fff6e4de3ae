"""GET /healthz: 200 while the process is on its feet, 500 and one sentence when the kubelet should restart it.

Our own and not kopf's, because a standby controller answers too and runs no kopf.
"""

from collections.abc import Callable

from virtfn_host.health import Health, HealthServer


async def serve_health(port: int, ailing: Callable[[], str | None]) -> HealthServer:
    """Start answering on every address; `ailing` says what is wrong, or None. Stop it with `close()`."""

    def health() -> Health:
        problem = ailing()
        return Health(alive=problem is None, text=problem or "ok")

    server = HealthServer(health)
    await server.start(port)
    return server
