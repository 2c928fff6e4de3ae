"""A decision that takes long holds up neither the event loop, with health and watches, nor the thread of the lease."""

import asyncio
import threading
import time
from typing import Any

import pytest
from api_server import ApiServer

from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.controller import reconcile
from virtfn_operator.controller.decide import Decision, World, decide
from virtfn_operator.controller.leader import RENEW_DEADLINE
from virtfn_operator.controller.reconcile import Reconciler
from virtfn_operator.settings import ApiServer as Where

NOW = "2026-01-01T00:00:00Z"


async def test_the_event_loop_goes_on_while_it_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: list[int] = []

    def slow(*_: object, **__: object) -> Decision:
        before = len(ticks)
        for _attempt in range(500):
            time.sleep(0.01)
            if len(ticks) > before + 5:
                return Decision(writes=(), unreadable=())
        raise AssertionError("the event loop stood still")

    async def tick() -> None:
        while True:
            ticks.append(1)
            await asyncio.sleep(0.01)

    monkeypatch.setattr(reconcile, "decide", slow)
    api = ApiServer()
    await api.start()
    ticking = asyncio.create_task(tick())
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=2) as kube:
        assert await Reconciler(kube, instance="c").reconcile()
    ticking.cancel()
    await api.stop()


def test_another_thread_has_its_time_while_it_is_decided() -> None:
    """The lease is renewed by one; a decision holds the interpreter's lock for moments only."""
    spec: dict[str, Any] = {
        "devices": [{"vendor": "8086"}],
        "virtualFunctions": {"count": 4, "pools": [{"resourceName": "fast"}]},
    }
    policies = [{"metadata": {"name": f"p{n}", "uid": f"u{n}", "generation": 1}, "spec": spec} for n in range(1000)]
    nodes = [{"metadata": {"name": f"n{n}", "generation": 1}} for n in range(5)]
    ended, gaps = threading.Event(), [0.0]

    def renewing() -> None:
        last = time.monotonic()
        while not ended.wait(0.001):
            gaps.append(time.monotonic() - last)
            last += gaps[-1]

    thread = threading.Thread(target=renewing)
    thread.start()
    decide(World(policies=policies, states=nodes, nodes=nodes), NOW)
    ended.set()
    thread.join()
    assert len(gaps) > 5
    assert max(gaps) < RENEW_DEADLINE / 10
