"""kopf, as both processes use it: a watcher in its own thread that only says "something happened".

kopf has its own thread and event loop because, when it stops, it cancels every task that was started after it, those of
other code too. No handler decides anything: an event wakes a loop that reads what it needs. So a watch that ends is
started again and ends no process; `watch_session.py` makes that rare.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, cast

import kopf

from virtfn_host.backoff import Backoff
from virtfn_host.backoff import Backoffs as Backoffs
from virtfn_operator.api import NODES, POLICIES
from virtfn_operator.apiserver.kube import Kube, ours
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.apiserver.watch_health import WatchHealth
from virtfn_operator.apiserver.watch_session import WatchPace, WatchSession
from virtfn_operator.settings import ApiServer

ResourceKey = tuple[str, str, str]
"""(group, version, plural). Never a string with a slash: kopf reads it as something else and watches everything."""

SERVER_TIMEOUT = 300
"""Seconds that a watch may last; an integer, because the API server refuses `300.0`."""

PAGE = 500

RESTART = 5.0
"""Seconds until a watch that ended is started again, the first time; a start costs half a dozen requests."""

LASTING = 120.0
"""Seconds after which the end of a watch counts as the first again."""

PULSE = 15.0
"""Seconds between two checks of the watch's thread."""

logger = logging.getLogger(__name__)


def watch_settings(field_selectors: Mapping[ResourceKey, str]) -> kopf.OperatorSettings:
    """Return settings of a watcher that needs no CRD, namespace, peering object, annotation or kopf event."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.watching.server_timeout = SERVER_TIMEOUT
    settings.watching.inactivity_timeout = 70.0
    settings.watching.chunk_size = PAGE
    settings.networking.request_timeout = 30.0
    settings.networking.connect_timeout = 10.0
    settings.networking.error_backoffs = Backoffs()
    settings.queueing.idle_timeout = 1.0
    for key, selector in field_selectors.items():
        settings.watching.field_selectors[key] = selector
    return settings


def registry_for(server: ApiServer, *, connections: int) -> kopf.OperatorRegistry:
    """Return a registry that uses our own session: kopf's has no limit of connections and does not wait.

    `connections` must exceed the number of watches.
    """
    registry, pace = kopf.OperatorRegistry(), WatchPace()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        session = WatchSession(server, connections=connections, pace=pace)
        return kopf.AiohttpSession(server=server.url, aiohttp_session=cast(Any, session), default_namespace="default")

    return registry


async def watch(
    kube: Kube,
    registry: kopf.OperatorRegistry,
    settings: kopf.OperatorSettings,
    health: WatchHealth | None = None,
) -> None:
    """Watch in a thread for ever; start a watch that ends again, after a longer pause each time.

    Starts once the API server knows our kinds: without scanning, kopf would look once and then wait for ever. The
    thread ends with the process, because a watch needs no orderly end.
    """
    health = health or WatchHealth(asyncio.get_running_loop().time)
    unserved, ended = Backoff(), Backoff(first=RESTART)
    while True:
        while (wait := await _until_served(kube, unserved)) > 0.0:
            await asyncio.sleep(wait)
        unserved.succeeded()
        with health.watching():
            began = asyncio.get_running_loop().time()
            error = await _one_run(registry, settings, health)
        if asyncio.get_running_loop().time() - began > LASTING:
            ended.succeeded()
        pause = ended.failed()
        logger.warning("the watch of the API server ended and starts again in %.0f s: %r", pause, error)
        await asyncio.sleep(pause)


async def _until_served(kube: Kube, backoff: Backoff) -> float:
    """Return 0.0 when the API server knows our kinds, else the seconds until the next check."""
    try:
        if {POLICIES, NODES} <= await kube.kinds(ours("")):
            return 0.0
        logger.warning("cannot watch yet: the API server does not know our kinds; are the CRDs installed?")
    except KubeError as error:
        if error.held:
            return error.retry_in
        logger.warning("cannot watch yet: %s", error)
    return backoff.failed()


async def _one_run(
    registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings, health: WatchHealth
) -> BaseException | None:
    """Run kopf until it ends, and return its error; meanwhile check that its thread answers."""
    running = _in_thread(registry, settings, health)
    while True:
        done, _ = await asyncio.wait((running,), timeout=PULSE)
        if done:
            return running.exception()
        health.ask()


_IDENTITY = cast(Any, "virtfn")
"""kopf needs it for peering only, which is off."""


def _in_thread(
    registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings, health: WatchHealth
) -> asyncio.Future[None]:
    if not logger.isEnabledFor(logging.DEBUG):
        # kopf logs every event and attempt, and a traceback at every end; `watch` logs what matters.
        for name in ("kopf", "kopf.objects", "kopf._core.reactor.running"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def run() -> None:
        try:
            asyncio.run(_operator(registry, settings, health))
        except BaseException as error:  # the process must get to know of any end
            call_in(loop, _fail, ended, error if isinstance(error, Exception) else RuntimeError(repr(error)))
        else:
            call_in(loop, _fail, ended, RuntimeError("it ended by itself"))

    threading.Thread(target=run, name="kopf", daemon=True).start()
    return ended


async def _operator(registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings, health: WatchHealth) -> None:
    health.runs_in(asyncio.get_running_loop())
    # Our own identity: kopf's asks for the user's name, and a bare uid has none.
    await kopf.operator(registry=registry, settings=settings, standalone=True, clusterwide=True, identity=_IDENTITY)


def call_in(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *args: object) -> None:
    """Call `what` in `loop` from the watch's thread; a closed loop is ignored, because the process is ending then."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(what, *args)


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
