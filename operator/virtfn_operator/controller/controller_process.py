"""The controller process: waits for the lease, watches, reconciles.

The watches are our own (`watching.py`), not kopf's: kopf lists anew whenever a watch ends, tells of no deletion that it
missed, and had a queue and a task for each of 5,000 objects (decision 0034).
"""

import asyncio
import contextlib
import importlib.metadata
import logging
import signal
import threading
import time
from functools import partial
from typing import Any

from virtfn_host.ports import ill, open_ports
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.controller.decide import Rules
from virtfn_operator.controller.evictions import Evictions
from virtfn_operator.controller.leader import Candidate, KubernetesLeases
from virtfn_operator.controller.listing import SOURCES
from virtfn_operator.controller.metrics import measured
from virtfn_operator.controller.reconcile import Reconciler
from virtfn_operator.controller.startup_taint import StartupTaints
from virtfn_operator.controller.watching import Attempts, Watch
from virtfn_operator.ending import LEASE_LOST, TOLD_TO_END, end_now, end_within
from virtfn_operator.settings import ControllerSettings

CONNECTIONS = 32
"""Connections to the API server, at most: four watches, the writes, and some more."""

HUNG = 600.0
"""Seconds after which the kubelet should restart us if no reconcile has ended; a list alone may take 120."""

logger = logging.getLogger(__name__)


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
            candidate.campaign(stopped, lambda: _call_in(loop, elected), _end_process)

    campaign = threading.Thread(target=campaigning, name="lease", daemon=True)
    campaign.start()
    threading.Thread(target=candidate.guard, args=(stopped, _end_process), name="lease guard", daemon=True).start()
    async with Kube(settings.api, connections=CONNECTIONS, list_limit=settings.list_limit) as kube:
        rules = Rules(domains=settings.resource_domains, turn_timeout=settings.turn_timeout)
        taints = StartupTaints(kube) if settings.startup_taint else None
        reconciler = Reconciler(
            kube,
            instance=settings.instance,
            rules=rules,
            taints=taints,
            evictions=Evictions(kube, namespace=settings.namespace),
            leads=candidate.holds,
        )
        version = importlib.metadata.version("virtfn")
        ports = await open_ports(
            settings.health_port,
            lambda: ill(_ailing(reconciler, loop.time()) if elected.is_set() else None),
            settings.metrics,
            lambda: measured(reconciler, leads=elected.is_set(), version=version, now=loop.time(), wall=time.time()),
        )
        try:
            await _until_first(stop.wait(), _lead(elected, reconciler, kube))
        finally:
            await ports.close()
            stopped.set()
            await asyncio.to_thread(campaign.join, 10.0)


async def _lead(elected: asyncio.Event, reconciler: Reconciler, kube: Kube) -> None:
    await elected.wait()
    logger.info("this controller leads")
    attempts = Attempts()
    watches = [
        Watch(kube, source, attempts=attempts).keep_up(
            partial(reconciler.listed, kind), partial(reconciler.newest, kind), partial(reconciler.tell, kind)
        )
        for kind, source in SOURCES.items()
    ]
    await _until_first(*watches, reconciler.run(asyncio.get_running_loop().time))


def _call_in(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    """Set an event of this loop from another thread; a closed loop is ignored, because the process is ending then."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(event.set)


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


def _ailing(reconciler: Reconciler, now: float) -> str | None:
    """Why a restart would help, or None. It does not help while the API server is away: a reconcile ends then too."""
    silent = now - reconciler.last_turn if reconciler.last_turn else 0.0
    return f"no reconcile ended for {silent:.0f} s" if silent > HUNG else None


def _end_process() -> None:
    """End without order: the next leader must not meet a write of ours. Does not wait for the log to be written."""
    end_now(LEASE_LOST, _last_words)


def _last_words() -> None:
    logger.critical("the lease is lost; another controller may lead now")
    logging.shutdown()
