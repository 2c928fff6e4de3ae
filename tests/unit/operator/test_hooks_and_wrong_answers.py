"""The hooks do not believe one answer 404, which may be wrong or late: nothing would be given back."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from api_server import OURS, ApiServer, Fault, refusal

from virtfn_operator.lifecycle import hooks
from virtfn_operator.lifecycle.hooks import HookFailedError, clean_up, give_back, upgrade_crds
from virtfn_operator.settings import ApiServer as Where
from virtfn_operator.settings import HookSettings

STATES = f"{OURS}/sriovnodes"
CLEANERS = "/apis/apps/v1/namespaces/virtfn/daemonsets/virtfn-clean-nodes"
CONVERGED = [{"type": "Ready", "status": "True", "reason": "Converged", "message": "all as asked"}]
HELD = {"device": "0000:01:00.0", "reason": "VfsInUse", "message": "in use", "pods": ["pod default/holder"]}
TEXTS = ["404 page not found", "the server could not find the requested resource"]

Hook = Callable[[HookSettings], Awaitable[None]]


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> AsyncIterator[ApiServer]:
    for name, seconds in {"LOOK": 0.01, "RENEW_DEADLINE": 0.01, "TRIES": 3.0, "ABSENT_PAUSE": 0.01}.items():
        monkeypatch.setattr(hooks, name, seconds)
    caplog.set_level(logging.INFO)
    found = ApiServer()
    await found.start()
    yield found
    await found.stop()


def settings(api: ApiServer, crds: Path = Path("/nowhere")) -> HookSettings:
    where = Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None)
    return HookSettings(
        api=where, namespace="virtfn", release="virtfn", lease="virtfn-controller", timeout=0.3, crds=crds
    )


def absent(path: str, at: Collection[int], text: str = TEXTS[1], **query: str) -> Fault:
    """Answer 404 to these reads of a path, which are counted from 1, as an API server does or a proxy before one."""
    reads = 0

    async def say(request: web.Request) -> web.StreamResponse | None:
        nonlocal reads
        if request.method != "GET" or request.path != path or not query.items() <= request.query.items():
            return None
        reads += 1
        if reads not in at:
            return None
        return web.Response(status=404, text=text) if text == TEXTS[0] else refusal(404, text)

    return say


async def asked(api: ApiServer, number: int) -> None:
    """Nodes that are asked for something, and whose agents do not answer any more."""
    for index in range(number):
        spec = {"policies": [{"name": "fast", "uid": "u"}], "mayChange": False}
        await api.put(f"{STATES}/n{index}", {"metadata": {"name": f"n{index}"}, "spec": spec, "status": {}})


async def held(api: ApiServer, number: int) -> None:
    """Nodes that gave back all but what a pod holds."""
    for index in range(number):
        status = {"observedGeneration": 1, "conditions": [], "plan": {"blocked": [HELD]}}
        spec = {"policies": [], "mayChange": True}
        await api.put(f"{STATES}/n{index}", {"metadata": {"name": f"n{index}"}, "spec": spec, "status": status})
    await api.put(CLEANERS, {"metadata": {"name": "c"}, "status": {"observedGeneration": 1}})


@pytest.mark.parametrize(
    ("at", "text"), [({1}, TEXTS[0]), ({1}, TEXTS[1]), ({2}, TEXTS[0]), ({3}, TEXTS[1]), ({1, 2}, TEXTS[0])]
)
async def test_every_node_is_asked_although_the_list_is_answered_so_for_a_moment(
    api: ApiServer, at: set[int], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    await asked(api, 3)
    api.fault = absent(STATES, at, text)
    await give_back(settings(api))
    specs = [body["spec"] for path, body in api.objects.items() if path.startswith(STATES)]
    assert specs == [{"policies": [], "mayChange": True}] * 3
    assert "0 of 3 nodes have given everything back" in caplog.text
    assert "left on node n2" in caplog.text


@pytest.mark.parametrize("hook", [give_back, clean_up])
async def test_a_list_whose_second_page_is_answered_so_is_not_taken_for_the_whole(
    api: ApiServer, hook: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hooks, "PAGE", 2)
    await held(api, 3)
    api.fault = absent(STATES, {1}, **{"continue": "2"})
    await hook(settings(api))
    assert "0 of 3 nodes have given everything back" in caplog.text


@pytest.mark.parametrize("page", [{}, {"continue": "2"}])
async def test_nodes_that_were_seen_do_not_end_by_such_answers(
    api: ApiServer, page: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "PAGE", 2)
    await asked(api, 3)
    api.fault = absent(STATES, range(2, 1000), **page)
    with pytest.raises(HookFailedError, match=r"could not be asked.*404.*Nothing was uninstalled"):
        await give_back(settings(api))


@pytest.mark.parametrize(("at", "text"), [({1}, TEXTS[0]), ({1}, TEXTS[1]), ({1, 2}, TEXTS[1])])
async def test_what_is_held_is_told_although_the_list_is_answered_so_for_a_moment(
    api: ApiServer, at: set[int], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    await held(api, 2)
    api.fault = absent(STATES, at, text)
    await clean_up(settings(api))
    assert "0 of 2 nodes" in caplog.text
    assert "left on node n1: 0000:01:00.0: held by pod default/holder" in caplog.text
    assert "the SriovNodes of these nodes stay as a record" in caplog.text


async def test_pods_that_clean_the_nodes_are_waited_for_although_their_daemonset_is_answered_so(
    api: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    status = {"observedGeneration": 1, "desiredNumberScheduled": 4}
    await api.put(CLEANERS, {"metadata": {"name": "c"}, "status": status})
    api.fault = absent(CLEANERS, {1})
    await clean_up(settings(api))
    assert "on 4 more nodes no pod was started" in caplog.text


@pytest.mark.parametrize("at", [{1}, {1, 2}])
async def test_a_newer_crd_is_not_replaced_although_it_is_answered_so(
    api: ApiServer, at: set[int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def crd(*names: str) -> dict[str, Any]:
        fields = {"openAPIV3Schema": {"properties": {name: {"type": "string"} for name in names}}}
        return {"metadata": {"name": "nodes.virtfn.dev"}, "spec": {"versions": [{"name": "v1", "schema": fields}]}}

    path = f"{hooks.CRDS}/nodes.virtfn.dev"
    await api.put(path, crd("vendor", "slot"))
    (tmp_path / "nodes.yaml").write_text(yaml.safe_dump(crd("vendor")))
    api.fault = absent(path, at)
    await upgrade_crds(settings(api, tmp_path))
    assert api.objects[path]["spec"] == crd("vendor", "slot")["spec"]
    assert "is newer than the chart's and stays" in caplog.text


@pytest.mark.parametrize("hook", [give_back, clean_up])
async def test_where_the_crds_were_deleted_there_is_nothing_to_do_after_three_looks(
    api: ApiServer, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    await api.put(CLEANERS, {"metadata": {"name": "c"}, "status": {"observedGeneration": 1}})
    api.fault = absent(STATES, range(1000))
    await hook(settings(api))
    assert "0 of 0 nodes" in caplog.text
    assert sum(seen.path == STATES for seen in api.seen) == 3
