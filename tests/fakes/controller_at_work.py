"""A controller with its watches at work on an API server in memory, with short pauses."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from api_server import OURS, ApiServer

from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.controller import listing, watching
from virtfn_operator.controller.listing import SOURCES
from virtfn_operator.controller.pace import Pace
from virtfn_operator.controller.reconcile import Reconciler
from virtfn_operator.controller.watching import Attempts, Watch
from virtfn_operator.settings import ApiServer as Where

PACE = Pace(quiet=0.001, share=0.0, rewrite=0.01, retry=0.01)
PATHS = frozenset(source.path for source in SOURCES.values())
POLICY = f"{OURS}/sriovpolicies/p"
SPEC = {"devices": [{"vendor": "8086"}], "virtualFunctions": {"count": 1, "pools": [{"resourceName": "fast"}]}}


class Controller:
    """A reconciler with its watches, and the API server that they watch."""

    def __init__(self, api: ApiServer, kube: Kube) -> None:
        self.api = api
        self.kube = kube
        self.reconciler = Reconciler(kube, instance="c", pace=PACE)
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self) -> None:
        attempts, found = Attempts(), self.reconciler
        watches = [
            Watch(self.kube, source, attempts=attempts).keep_up(
                partial(found.listed, kind), partial(found.newest, kind), partial(found.tell, kind)
            )
            for kind, source in SOURCES.items()
        ]
        loop = asyncio.get_running_loop()
        self._tasks = [asyncio.create_task(one) for one in (*watches, found.run(loop.time))]

    async def end(self) -> None:
        """End as a killed process does: in the middle of whatever it does."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def put(self, name: str) -> None:
        await self.api.put(f"{OURS}/sriovpolicies/{name}", {"metadata": {"name": name}, "spec": SPEC})

    def asked(self, node: str = "n1") -> list[str]:
        spec = self.api.objects[f"{OURS}/sriovnodes/{node}"].get("spec") or {}
        return sorted(entry["name"] for entry in spec.get("policies", ()))

    def lists(self) -> int:
        return sum(seen.method == "GET" and not seen.watch and seen.path in PATHS for seen in self.api.seen)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not true():
                await asyncio.sleep(0.005)


PATHS = frozenset(source.path for source in SOURCES.values())


@asynccontextmanager
async def at_work(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Controller]:
    """Start it with two nodes; its four watches stand."""
    for name, seconds in {
        "FIRST": 0.01,
        "PROBE": 0.05,
        "SPACED": 0.05,
        "STANDS": 0.02,
        "CALM": 0.5,
        "GRACE": 0.1,
    }.items():
        monkeypatch.setattr(watching, name, seconds)
    monkeypatch.setattr(listing, "CATCH_UP", 0.05)
    api = ApiServer()
    await api.start()
    for name in ("n1", "n2"):
        await api.put(f"/api/v1/nodes/{name}", {"metadata": {"name": name}})
        await api.put(f"{OURS}/sriovnodes/{name}", {"metadata": {"name": name}})
    clock = iter(range(0, 10**9, 1000))  # no request is held for long
    where = Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None)
    async with Kube(where, connections=16, clock=lambda: float(next(clock))) as kube:
        found = Controller(api, kube)
        found.start()
        await found.until(lambda: api.watching == 4)
        yield found
        await found.end()
    await api.stop()


@asynccontextmanager
async def with_a_policy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Controller]:
    """Start it with two nodes that are asked for one policy, `POLICY`, whose status is written."""
    async with at_work(monkeypatch) as found:
        await found.put("p")
        await found.until(lambda: found.asked("n1") == found.asked("n2") == ["p"])
        await found.until(lambda: "status" in found.api.objects[POLICY])
        yield found
