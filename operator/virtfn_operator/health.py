"""GET /healthz: 200 while the process is on its feet, 500 and one sentence when the kubelet should restart it.

Our own and not kopf's, because a standby controller answers too and runs no kopf.
"""

from collections.abc import Callable

from aiohttp import web


async def serve_health(port: int, ailing: Callable[[], str | None]) -> web.AppRunner:
    """Start answering on every address; `ailing` says what is wrong, or None. Stop it with `cleanup()`."""

    async def healthz(_: web.Request) -> web.Response:
        problem = ailing()
        return web.Response(text=f"{problem or 'ok'}\n", status=500 if problem else 200)

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz)])
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, None, port).start()
    return runner
