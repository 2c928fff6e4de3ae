"""kopf, as both processes use it: a watcher in a thread of its own that only says "something happened".

Its own thread and event loop, because a stopping kopf cancels every task that was made after it started, also those of
others. No handler here or in the two processes decides anything: an event wakes a loop that reads what it needs. So a
watch that ends, for whatever reason, is begun anew and ends no process; `watch_session.py` makes that rare.
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
"""(group, version, plural): kopf reads a string with a slash as something else and then watches everything."""

SERVER_TIMEOUT = 300
"""Seconds a watch may last; a whole number, because the API server refuses `300.0`."""

PAGE = 500

RESTART = 5.0
"""Seconds until a watch that ended is begun anew, the first time; it costs half a dozen requests."""

LASTING = 120.0
"""Seconds that a watch must have lasted for its end to be the first again."""

PULSE = 15.0
"""Seconds between two questions to the watch's thread."""

logger = logging.getLogger(__name__)


def watch_settings(field_selectors: Mapping[ResourceKey, str]) -> kopf.OperatorSettings:
    """Settings of a watcher that needs no CRD, no namespace, no peering object, no annotation and no kopf event."""
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
    """A registry that logs in with our own session: kopf's has no limit of connections and no patience.

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
    """Watch in a thread for ever; one that ends by itself is begun anew, later each time.

    Begins when the API server knows our kinds: without scanning, kopf would look once and then wait for ever. The
    thread dies with the process, because nothing of a watch needs an orderly end.
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
        logger.warning("the watch of the API server ended and begins anew in %.0f s: %r", pause, error)
        await asyncio.sleep(pause)


async def _until_served(kube: Kube, backoff: Backoff) -> float:
    """Seconds until it is to be asked again whether the API server knows our kinds; 0.0 when it does."""
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
    """One run of kopf to its end, whatever that is; meanwhile its thread is asked whether it lives."""
    running = _in_thread(registry, settings, health)
    while True:
        done, _ = await asyncio.wait((running,), timeout=PULSE)
        if done:
            return running.exception()
        health.ask()


_IDENTITY = cast(Any, "virtfn")
"""Only for peering, which is off."""


def _in_thread(
    registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings, health: WatchHealth
) -> asyncio.Future[None]:
    if not logger.isEnabledFor(logging.DEBUG):
        # A line for every event and every attempt, and a traceback for every end: what matters is said by `watch`.
        for name in ("kopf", "kopf.objects", "kopf._core.reactor.running"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def run() -> None:
        try:
            asyncio.run(_operator(registry, settings, health))
        except BaseException as error:  # whatever it was, the process must hear of it
            call_in(loop, _fail, ended, error if isinstance(error, Exception) else RuntimeError(repr(error)))
        else:
            call_in(loop, _fail, ended, RuntimeError("it ended by itself"))

    threading.Thread(target=run, name="kopf", daemon=True).start()
    return ended


async def _operator(registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings, health: WatchHealth) -> None:
    health.runs_in(asyncio.get_running_loop())
    # An identity of our own: kopf's asks for the name of the user, and a bare uid has none.
    await kopf.operator(registry=registry, settings=settings, standalone=True, clusterwide=True, identity=_IDENTITY)


def call_in(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *args: object) -> None:
    """From the thread of a watch, in a loop that may be closed meanwhile: then the process ends, and nobody asks."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(what, *args)


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
