"""kopf, as both processes use it: a watcher in a thread of its own that only says "something happened".

Its own thread and event loop, because a stopping kopf cancels every task that was made after it started, also those of
others. No handler here or in `*/handlers.py` decides anything: an event wakes a loop that reads what it needs.
"""

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import kopf

from virtfn_operator.api import NODES, POLICIES
from virtfn_operator.kube import Kube, open_session, ours
from virtfn_operator.kube_error import KubeError
from virtfn_operator.settings import ApiServer

ResourceKey = tuple[str, str, str]
"""(group, version, plural): kopf reads a string with a slash as something else and then watches everything."""

SERVER_TIMEOUT = 300
"""Seconds a watch may last; a whole number, because the API server refuses `300.0`."""

PAGE = 500

logger = logging.getLogger(__name__)


class Backoffs:
    """1 s, 2 s, 4 s ... 30 s and so on for ever, each with jitter: an API server that is away must not end a watch."""

    def __iter__(self) -> Iterator[float]:
        delay = 1.0
        while True:
            yield delay * random.uniform(0.5, 1.0)  # noqa: S311  # jitter is no secret
            delay = min(delay * 2, 30.0)


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
    """A registry that logs in with our own session: kopf's has no limit of connections and never reads the token again.

    `connections` must exceed the number of watches.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(
            server=server.url,
            aiohttp_session=open_session(server, connections=connections),
            default_namespace="default",
        )

    return registry


async def watch(kube: Kube, registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings) -> None:
    """Watch in a thread until the watcher ends by itself, which is always a reason to end the process.

    Begins when the API server knows our kinds: without scanning, kopf would look once and then wait for ever. The
    thread dies with the process, because nothing of a watch needs an orderly end.
    """
    for delay in Backoffs():
        if await _served(kube):
            break
        await asyncio.sleep(delay)
    await _in_thread(registry, settings)


async def _served(kube: Kube) -> bool:
    try:
        found = await kube.read(ours(""))
    except KubeError as error:
        logger.warning("cannot watch yet: %s", error)
        return False
    return {POLICIES, NODES} <= {resource.get("name") for resource in found.get("resources") or ()}


_IDENTITY = cast(Any, "virtfn")
"""Only for peering, which is off."""


def _in_thread(registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings) -> asyncio.Future[None]:
    for name in ("kopf.objects", "kopf._core.reactor.running"):
        logging.getLogger(name).setLevel(logging.ERROR)  # a line for every event; a warning about signals
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def run() -> None:
        try:
            # An identity of our own: kopf's asks for the name of the user, and a bare uid has none.
            kopf.run(registry=registry, settings=settings, standalone=True, clusterwide=True, identity=_IDENTITY)
        except Exception as error:  # whatever it was, the process must hear of it
            call_in(loop, _fail, ended, error)
        else:
            call_in(loop, _fail, ended, RuntimeError("the watch of the API server ended by itself"))

    threading.Thread(target=run, name="kopf", daemon=True).start()
    return ended


def call_in(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *args: object) -> None:
    """From the thread of a watch, in a loop that may be closed meanwhile: then the process ends, and nobody asks."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(what, *args)


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
