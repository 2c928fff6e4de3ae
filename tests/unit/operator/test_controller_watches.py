"""The controller's watches: lists at the start and after a gap only, whatever the API server does to a watch."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from aiohttp import web
from api_faults import GONE, watch_says
from api_server import OURS, ApiServer, refusal
from controller_at_work import PACE, SPEC, Controller, at_work

from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.controller import watching
from virtfn_operator.controller.listing import SOURCES, check
from virtfn_operator.controller.picture import ObjectKind
from virtfn_operator.controller.reconcile import Reconciler
from virtfn_operator.settings import ApiServer as Where


@pytest.fixture
async def controller(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Controller]:
    async with at_work(monkeypatch) as found:
        yield found


async def test_changes_cost_no_list(controller: Controller) -> None:
    for name in ("a", "b", "c"):
        await controller.put(name)
        await controller.until(lambda name=name: name in controller.asked("n1") and name in controller.asked("n2"))  # type: ignore[misc]
    assert controller.lists() == 4


async def test_a_watch_that_ends_as_agreed_goes_on_without_a_list(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LASTS", 2)
    controller.api.break_watches()
    await controller.until(lambda: controller.api.watching == 4)
    lists, watches = controller.lists(), sum(seen.watch for seen in controller.api.seen)
    await controller.until(lambda: sum(seen.watch for seen in controller.api.seen) > watches + 4)
    await controller.put("a")
    await controller.until(lambda: controller.asked() == ["a"])
    assert controller.lists() == lists


@pytest.mark.parametrize(
    "fault",
    [
        watch_says(GONE),
        watch_says({"type": "ERROR", "object": {"code": 500, "message": "etcd"}}),
        watch_says(b"{\n"),
        watch_says([1]),
        watch_says(),
    ],
    ids=["expired", "an error", "no JSON", "no event", "ends at once"],
)
async def test_what_a_broken_watch_misses_is_listed(controller: Controller, fault: Any) -> None:
    controller.api.fault = fault
    controller.api.break_watches()
    await controller.put("a")
    del controller.api.objects["/api/v1/nodes/n2"]
    await controller.until(lambda: controller.asked() == ["a"])
    controller.api.fault = None
    await controller.put("b")
    await controller.until(lambda: controller.asked() == ["a", "b"])
    await controller.until(lambda: "n2" not in controller.reconciler._picture.objects[ObjectKind.NODE].known)


async def test_a_watch_that_is_refused_as_too_old_is_listed_again(controller: Controller) -> None:
    refused: list[str] = []

    async def old(request: web.Request) -> web.StreamResponse | None:
        if "watch" not in request.query or len(refused) > 3:
            return None
        refused.append(request.path)
        return refusal(410, "too old resource version")

    controller.api.fault = old
    controller.api.break_watches()
    await controller.until(lambda: controller.api.watching == 4)
    await controller.put("a")
    await controller.until(lambda: controller.asked() == ["a"])
    assert controller.lists() > 4


async def test_a_watch_that_hangs_is_noticed(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LASTS", 1)
    controller.api.fault = watch_says(ends=False)
    controller.api.break_watches()
    await controller.put("a")
    await controller.until(lambda: controller.asked() == ["a"])
    assert controller.lists() > 4


async def test_a_check_finds_a_deletion_that_no_watch_told(
    controller: Controller, caplog: pytest.LogCaptureFixture
) -> None:
    picture = controller.reconciler._picture
    await check(controller.kube, picture, ObjectKind.STATE)
    assert ObjectKind.STATE not in picture.gaps
    del controller.api.objects[f"{OURS}/sriovnodes/n2"]
    await check(controller.kube, picture, ObjectKind.STATE)
    assert "missed 1 objects (n2)" in caplog.text
    controller.reconciler.wake()
    await controller.until(lambda: "n2" not in picture.objects[ObjectKind.STATE].known)


async def test_a_decision_that_went_astray_is_told_and_put_right(caplog: pytest.LogCaptureFixture) -> None:
    """Each check also decides once more from everything."""
    api = ApiServer()
    await api.start()
    await api.put("/api/v1/nodes/n1", {"metadata": {"name": "n1"}})
    await api.put(f"{OURS}/sriovnodes/n1", {"metadata": {"name": "n1"}})
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=4) as kube:
        found = Reconciler(kube, instance="c", pace=PACE)
        for number in range(3):
            await api.put(f"{OURS}/sriovpolicies/p{number}", {"metadata": {"name": f"p{number}"}, "spec": SPEC})
            found._picture.gaps[ObjectKind.POLICY] = None
            if number == 2:
                found._decider._nodes.clear()
            found._doubted = True
            assert await found.reconcile()
            assert ("this is a bug in virtfn" in caplog.text) is (number == 2)
    spec = api.objects[f"{OURS}/sriovnodes/n1"]["spec"]
    assert [entry["name"] for entry in spec["policies"]] == ["p0", "p1", "p2"]
    await api.stop()


async def test_nothing_is_written_without_the_lease(controller: Controller) -> None:
    controller.reconciler._leads = lambda: False
    await controller.put("a")
    await controller.until(lambda: controller.reconciler._pause > 0.0)
    assert controller.asked() == []
    assert not [seen for seen in controller.api.seen if seen.method == "PATCH" and "sriovpolicies" in seen.path]
    controller.reconciler._leads = lambda: True
    await controller.until(lambda: controller.asked() == ["a"])


async def test_a_grant_that_met_another_version_is_decided_again(controller: Controller) -> None:
    """An agent reports between the decision and the write: the API server refuses the grant, and nothing is lost."""
    await controller.put("a")
    await controller.until(lambda: controller.asked("n1") == controller.asked("n2") == ["a"])
    path = f"{OURS}/sriovnodes/n1"
    refused: list[str] = []

    async def agent_was_faster(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH" and request.path == path and not refused:
            refused.append(request.path)
            body = controller.api.objects[path]
            await controller.api.put(path, {**body, "status": {**body["status"], "kernel": "6.1"}})
        return None

    controller.api.fault = agent_was_faster
    body = controller.api.objects[path]
    outcome = {**{key: body["spec"]["policies"][0][key] for key in ("name", "uid", "generation")}, "state": "Changing"}
    status = {"observedGeneration": body["metadata"]["generation"], "policies": [outcome], "plan": {"disruptive": True}}
    await controller.api.put(path, {**body, "status": status})
    await controller.until(lambda: controller.api.objects[path]["spec"]["mayChange"] is True)
    assert len(refused) == 1


async def test_a_pause_that_the_api_server_asks_for_is_kept_and_ends_no_pass() -> None:
    api = ApiServer()
    await api.start()
    for number in range(60):
        await api.put(f"/api/v1/nodes/n{number:02}", {"metadata": {"name": f"n{number:02}"}})
        await api.put(f"{OURS}/sriovnodes/n{number:02}", {"metadata": {"name": f"n{number:02}"}})
    refused: list[str] = []
    loop = asyncio.get_running_loop()
    busy = asyncio.Event()

    async def too_many(request: web.Request) -> web.StreamResponse | None:
        if request.method != "PATCH" or busy.is_set():
            return None
        refused.append(request.path)
        loop.call_later(0.9, busy.set)
        return refusal(429, "too many", Retry_After="1")

    api.fault = too_many
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=16) as kube:
        reconciler = Reconciler(kube, instance="c", pace=PACE, parallel=8)
        while not await reconciler.reconcile():
            assert reconciler._pause == 0.0
    assert 0 < len(refused) <= 8
    assert all("spec" in body for path, body in api.objects.items() if "/sriovnodes/" in path)
    await api.stop()


async def test_a_cordon_and_its_end_are_known_at_once_and_cost_no_list(controller: Controller) -> None:
    lists, picture = controller.lists(), controller.reconciler._picture
    for cordoned in (True, False, True):
        node = {"metadata": {"name": "n1"}, "spec": {"unschedulable": True} if cordoned else {}}
        await controller.api.put("/api/v1/nodes/n1", node)
        await controller.until(lambda expected=cordoned: ("n1" in picture.cordoned) is expected)  # type: ignore[misc]
        assert "n2" not in picture.cordoned
    assert controller.lists() == lists


@pytest.mark.parametrize("kind", [ObjectKind.NODE, ObjectKind.CORDON])
async def test_two_watches_of_one_path_hold_each_other_up_no_more_than_others(kind: ObjectKind) -> None:
    """Both are of Nodes: the failure of one must not count as a failure of the other one."""
    api = ApiServer()
    await api.start()

    async def refused(request: web.Request) -> web.StreamResponse | None:
        ours = request.query.get("fieldSelector") == SOURCES[kind].query.get("fieldSelector")
        return refusal(404, "no") if ours else None

    api.fault = refused
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=4) as kube:
        for _ in range(3):
            with pytest.raises(KubeError):
                async with _watch(kube, kind):
                    pass
        other = {ObjectKind.NODE: ObjectKind.CORDON, ObjectKind.CORDON: ObjectKind.NODE}[kind]
        async with _watch(kube, other):
            pass
    await api.stop()


def _watch(kube: Kube, kind: ObjectKind) -> AbstractAsyncContextManager[Any]:
    source = SOURCES[kind]
    return kube.watch(source.path, accept=source.of_events, version="1", seconds=1, query=source.query)
