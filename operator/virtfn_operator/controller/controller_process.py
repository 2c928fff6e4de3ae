"""The controller process: waits for the lease, watches, reconciles. kopf's events only wake the reconciler."""

import asyncio
import contextlib
import json
import logging
import signal
import threading
from collections.abc import Callable
from typing import Any

import kopf

from virtfn_operator.api import GROUP, NODES, POLICIES, VERSION
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.apiserver.watch import call_in, registry_for, watch, watch_settings
from virtfn_operator.apiserver.watch_health import WatchHealth
from virtfn_operator.controller.decide import Rules
from virtfn_operator.controller.leader import Candidate, KubernetesLeases
from virtfn_operator.controller.reconcile import Reconciler
from virtfn_operator.controller.waking import Waking
from virtfn_operator.ending import LEASE_LOST, TOLD_TO_END, end_now, end_within
from virtfn_operator.health import serve_health
from virtfn_operator.settings import ApiServer, ControllerSettings

CONNECTIONS = 32
"""Connections to the API server: without a limit, kopf took 3 times the time and 6 times the memory at 5,000 objects
(measured by hand)."""

HUNG = 600.0
"""Seconds after which the kubelet should restart us if no reconcile has ended; a list alone may take 120."""

logger = logging.getLogger(__name__)


def watch_registry(server: ApiServer, wake: Callable[[], object]) -> kopf.OperatorRegistry:
    """Wake on every policy and SriovNode event, and on a Node only when it is new, gone or has other labels."""
    registry = registry_for(server, connections=CONNECTIONS)
    waking = Waking()

    def told(kind: object, event: kopf.RawEvent, state: object) -> None:
        about: Any = event["object"]
        who = (kind, about.get("metadata", {}).get("name"))
        loop = asyncio.get_running_loop()
        wait = waking.moved(who, None if event["type"] == "DELETED" else state, loop.time())
        if wait is not None and wait > 0.0:
            loop.call_later(wait, wake)
        elif wait is not None:
            wake()

    @kopf.on.event(GROUP, VERSION, POLICIES, registry=registry)
    @kopf.on.event(GROUP, VERSION, NODES, registry=registry)
    async def moved(event: kopf.RawEvent, **_: Any) -> None:
        about: Any = event["object"]
        told(about.get("kind"), event, about.get("metadata", {}).get("resourceVersion"))

    # Each Node is written every few seconds (heartbeats, images); only its labels matter here.
    @kopf.on.event("", "v1", "nodes", registry=registry)
    async def node_moved(event: kopf.RawEvent, **_: Any) -> None:
        metadata: Any = event["object"].get("metadata", {})
        told("Node", event, hash(json.dumps(metadata.get("labels") or {}, sort_keys=True)))

    return registry


async def run(settings: ControllerSettings) -> None:
    """Run until SIGTERM or SIGINT; losing the lease ends the process at once."""
    loop = asyncio.get_running_loop()
    stop, elected, stopped = asyncio.Event(), asyncio.Event(), threading.Event()

    def told_to_end() -> None:
        stop.set()
        end_within(TOLD_TO_END, 0, logging.shutdown)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_end)
    leases = KubernetesLeases(settings.api, settings.namespace, settings.lease)
    candidate = Candidate(leases, settings.instance)

    def campaigning() -> None:
        with contextlib.closing(leases):
            candidate.campaign(stopped, lambda: call_in(loop, elected.set), _end_process)

    campaign = threading.Thread(target=campaigning, name="lease", daemon=True)
    campaign.start()
    threading.Thread(target=candidate.guard, args=(stopped, _end_process), name="lease guard", daemon=True).start()
    watching = WatchHealth(loop.time)
    async with Kube(settings.api, connections=CONNECTIONS, list_limit=settings.list_limit) as kube:
        rules = Rules(domains=settings.resource_domains, turn_timeout=settings.turn_timeout)
        reconciler = Reconciler(kube, instance=settings.instance, rules=rules)
        health = await serve_health(
            settings.health_port,
            lambda: _ailing(reconciler, watching, kube, loop.time()) if elected.is_set() else None,
        )
        try:
            await _until_first(stop.wait(), _lead(elected, reconciler, kube, settings.api, watching))
        finally:
            await health.close()
            stopped.set()
            await asyncio.to_thread(campaign.join, 10.0)


async def _lead(
    elected: asyncio.Event, reconciler: Reconciler, kube: Kube, server: ApiServer, watching: WatchHealth
) -> None:
    await elected.wait()
    watching.begin()
    logger.info("this controller leads")
    loop = asyncio.get_running_loop()
    registry = watch_registry(server, lambda: call_in(loop, reconciler.wake))
    await _until_first(watch(kube, registry, watch_settings({}), watching), reconciler.run(loop.time))


async def _until_first(*several: Any) -> None:
    """Wait until the first one ends, cancel the others, and raise what the first raised."""
    tasks = [asyncio.ensure_future(one) for one in several]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _ailing(reconciler: Reconciler, watching: WatchHealth, kube: Kube, now: float) -> str | None:
    """Why a restart would help, or None. It does not help while the API server is away: a reconcile ends then too."""
    silent = now - reconciler.last_turn if reconciler.last_turn else 0.0
    if silent > HUNG:
        return f"no reconcile ended for {silent:.0f} s"
    return watching.ailing(kube.gate.succeeded_at)


def _end_process() -> None:
    """End without order: the next leader must not meet a write of ours. Does not wait for the log to be written."""
    end_now(LEASE_LOST, _last_words)


def _last_words() -> None:
    logger.critical("the lease is lost; another controller may lead now")
    logging.shutdown()
