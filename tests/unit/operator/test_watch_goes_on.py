"""kopf's run ends, whatever the reason: it is begun anew, the process stays, and health tells when a restart helps."""

import asyncio

import kopf
import pytest
from api_server import OURS, ApiServer

from virtfn_operator.agent.agent_process import field_selectors, watch_registry
from virtfn_operator.apiserver import watch as handlers
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.apiserver.watch import watch, watch_settings
from virtfn_operator.apiserver.watch_health import HUNG, WatchHealth
from virtfn_operator.settings import ApiServer as Where


@pytest.mark.parametrize("how", [RuntimeError("boom"), SystemExit(1), None])
async def test_a_run_that_ends_is_begun_anew(monkeypatch: pytest.MonkeyPatch, how: BaseException | None) -> None:
    api, runs = ApiServer(), 0
    again = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def run(**_: object) -> None:
        nonlocal runs
        runs += 1
        if runs > 2:
            loop.call_soon_threadsafe(again.set)
        if how is not None:
            raise how

    monkeypatch.setattr(kopf, "operator", run)
    monkeypatch.setattr(handlers, "RESTART", 0.01)
    await api.start()
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=2) as kube:
        watching = asyncio.create_task(watch(kube, kopf.OperatorRegistry(), watch_settings({})))
        async with asyncio.timeout(5):
            await again.wait()
        assert not watching.done()
        watching.cancel()
    await api.stop()


async def test_a_deleted_and_a_new_object_are_seen_and_an_odd_one_ends_nothing() -> None:
    api = ApiServer()
    await api.start()
    where = Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None)
    seen: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    registry = watch_registry(
        where,
        lambda body: loop.call_soon_threadsafe(seen.put_nowait, str(body["metadata"]["name"])),
        lambda: None,
    )
    async with Kube(where, connections=2) as kube:
        watching = asyncio.create_task(watch(kube, registry, watch_settings(field_selectors("n1"))))
        async with asyncio.timeout(20):
            while not api.watching:
                await asyncio.sleep(0.01)
            api.history.append((api.version + 1, f"{OURS}/sriovnodes/n1", {"type": "ADDED", "object": [1]}))
            await api.put(f"{OURS}/sriovnodes/n1", {"metadata": {"name": "n1"}})
            assert await seen.get() == "n1"
        watching.cancel()
    await api.stop()


class Now:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_thread_that_does_not_answer_is_told_of_and_one_that_does_is_not() -> None:
    clock = Now()
    health = WatchHealth(clock)
    with health.watching():
        clock.now = HUNG + 1
        assert "has not answered" in str(health.ailing(None))
        health._answer()
        assert health.ailing(None) is None


@pytest.mark.parametrize(("served_ago", "ailing"), [(None, False), (HUNG + 1, False), (1.0, True)])
def test_no_watch_for_long_counts_only_while_the_api_server_serves(served_ago: float | None, ailing: bool) -> None:
    clock = Now()
    health = WatchHealth(clock)
    clock.now = HUNG + 1
    served = None if served_ago is None else clock.now - served_ago
    assert (health.ailing(served) is not None) is ailing
    health.begin()
    assert health.ailing(served) is None
