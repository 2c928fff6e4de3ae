"""GET /healthz: 200 while the process works, 500 with one sentence when the kubelet should restart it.

kopf's own health server is not used, because a standby controller must answer too and runs no kopf.
"""

from collections.abc import Callable

from virtfn_host.health import Health, HealthServer


async def serve_health(port: int, ailing: Callable[[], str | None]) -> HealthServer:
    """Start the server on every address; `ailing` returns what is wrong, or None. Stop the server with `close()`."""

    def health() -> Health:
        problem = ailing()
        return Health(alive=problem is None, text=problem or "ok")

    server = HealthServer(health)
    await server.start(port)
    return server
