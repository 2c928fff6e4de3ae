"""The agent process: kopf's watch of the own SriovNode and the host process's kernel events wake the loop.

The field selector makes the API server send one object instead of all: at 5,000 nodes that is 66 GB less per roll-out.
Its key must be the tuple: kopf silently matches nothing for a string with a slash.
"""

import asyncio
import contextlib
import importlib.metadata
import logging
import signal
import time
from collections.abc import Callable
from typing import Any

import kopf

from virtfn_host.linux.read.mounted import MountedFolders
from virtfn_host.logs.lines import about
from virtfn_host.ports import ill, open_ports
from virtfn_host.process.client import HostClient
from virtfn_operator.agent.files import PoolFiles
from virtfn_operator.agent.loop import Agent
from virtfn_operator.agent.machine import NodeMachine
from virtfn_operator.agent.metrics import measured
from virtfn_operator.agent.node import NodeObject
from virtfn_operator.agent.podresources import PodResources
from virtfn_operator.agent.ports import Patience
from virtfn_operator.api import GROUP, NODES, VERSION
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.apiserver.watch import ResourceKey, call_in, registry_for, watch, watch_settings
from virtfn_operator.apiserver.watch_health import WatchHealth
from virtfn_operator.ending import TOLD_TO_END, end_within
from virtfn_operator.settings import AgentSettings, ApiServer

CONNECTIONS = 4

HUNG = 600.0
"""Seconds after which the kubelet should restart us if no round and no step has ended; a step may take 120."""

CHECK_EVERY = 2.0
"""Seconds between two checks of the folders that the node shares with this container."""

GRACE = 12.0
"""Seconds for the current round after SIGTERM; two requests to a silent API server take 10."""

logger = logging.getLogger(__name__)


def field_selectors(node: str) -> dict[ResourceKey, str]:
    """The selector with which the API server sends only this node's own object."""
    return {(GROUP, VERSION, NODES): f"metadata.name={node}"}


def watch_registry(
    server: ApiServer, seen: Callable[[dict[str, Any]], object], gone: Callable[[], object]
) -> kopf.OperatorRegistry:
    """Call `seen` with the own SriovNode at each change, and `gone` when it is deleted."""
    registry = registry_for(server, connections=CONNECTIONS)

    @kopf.on.event(GROUP, VERSION, NODES, registry=registry)
    async def moved(event: kopf.RawEvent, **_: Any) -> None:
        if event["type"] == "DELETED":
            gone()
        else:
            seen(dict(event["object"]))

    return registry


async def run(settings: AgentSettings) -> None:
    """Run until SIGTERM or SIGINT; devices stay as they are, the pool file is removed.

    Raises:
        StaleFolderError: a folder was replaced on the node; only a new container can see the new one.
    """
    with about(node=settings.node):
        await _run(settings)


async def _run(settings: AgentSettings) -> None:
    loop = asyncio.get_running_loop()
    stop, version = asyncio.Event(), importlib.metadata.version("virtfn")
    host, files, patience = HostClient(settings.host_socket), PoolFiles(settings.pools, settings.ledger), Patience()

    def told_to_end() -> None:
        stop.set()
        end_within(TOLD_TO_END, 0, files.unpublish)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_end)
    machine = NodeMachine(
        host=host,
        kubelet=PodResources(settings.podresources),
        files=files,
        patience=patience,
        domains=settings.resource_domains,
    )
    async with Kube(settings.api, connections=CONNECTIONS) as kube:
        node = NodeObject(kube, settings.node, instance=settings.instance)
        agent = Agent(
            machine=machine,
            node=node,
            patience=patience,
            version=version,
            domains=settings.resource_domains,
        )
        registry = watch_registry(
            settings.api,
            lambda body: call_in(loop, agent.see, body),
            lambda: call_in(loop, agent.lose),
        )
        sight = WatchHealth(loop.time)
        ports = await open_ports(
            settings.health_port,
            lambda: ill(
                _ailing(max(agent.last_turn, machine.last_step), loop.time()) or sight.ailing(kube.gate.succeeded_at)
            ),
            settings.metrics,
            lambda: measured(agent, machine, node=settings.node, version=version, now=loop.time(), wall=time.time()),
        )
        selectors = field_selectors(settings.node)
        watching = asyncio.create_task(watch(kube, registry, watch_settings(selectors), sight))
        turns = asyncio.create_task(agent.run())
        wakers = asyncio.create_task(agent.watch_host(host)), asyncio.create_task(agent.watch_ledger(files))
        folders = MountedFolders(*(path.parent for path in (settings.pools, settings.ledger, settings.podresources)))
        fresh = asyncio.create_task(_expect_fresh(folders))
        tasks = (watching, turns, *wakers, fresh, asyncio.create_task(stop.wait()))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            agent.stop()
            await asyncio.wait((turns,), timeout=GRACE)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await ports.close()
        if not stop.is_set():
            for ended in (watching, turns, *wakers, fresh):
                if ended.done() and not ended.cancelled():
                    ended.result()
    with contextlib.suppress(OSError):
        files.unpublish()


async def _expect_fresh(folders: MountedFolders) -> None:
    while True:
        await asyncio.to_thread(folders.expect_fresh)
        await asyncio.sleep(CHECK_EVERY)


def _ailing(last: float, now: float) -> str | None:
    silent = now - last if last else 0.0
    return f"no turn and no step ended for {silent:.0f} s" if silent > HUNG else None
