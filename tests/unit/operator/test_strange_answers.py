"""What a strange API server answers is an error, soon, and never half an answer."""

import asyncio
from collections.abc import AsyncIterator
from itertools import product

import aiohttp
import api_faults
import pytest
from api_server import OURS, ApiServer

from virtfn_operator.apiserver import kube as kube_module
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.settings import ApiServer as Where

OWN = f"{OURS}/sriovnodes/n1"
LIST = f"{OURS}/sriovnodes"


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    server = ApiServer()
    await server.start()
    await server.put(OWN, {"metadata": {"name": "n1"}})
    yield server
    await server.stop()


async def trouble(api: ApiServer, path: str) -> KubeError | None:
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=2) as kube:
        try:
            await (kube.list(path) if path == LIST else kube.read(path))
        except KubeError as error:
            return error
    return None


BOTH = (
    *("401", "403", "404", "409", "410", "429, Retry-After 60", "500", "503", "302 to nowhere", "cut", "HTML"),
    *("HTML with 502", "bad UTF-8", "a list", "null", "an empty object", "nested", "an endless body", "no metadata"),
    *("spec is a list", "status is a text"),
)
LISTS = ("endless pages", "items that are no list", "items without metadata", "a list without items")


@pytest.mark.parametrize(("fault", "path"), [*product(BOTH, (OWN, LIST)), *product(LISTS, (LIST,))])
async def test_it_is_an_error(api: ApiServer, fault: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_module, "PAGES", 20)
    monkeypatch.setattr(kube_module, "PAGE_LIMIT", 1 << 20)
    api.fault = api_faults.named(api)[fault]
    error = await trouble(api, path)
    assert error is not None
    assert "\n" not in str(error)
    assert len(str(error)) < 1100


@pytest.mark.parametrize("fault", ["silence", "a byte a second"])
async def test_it_takes_no_longer_than_a_request_may(
    api: ApiServer, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube_module, "_TIMEOUT", aiohttp.ClientTimeout(total=0.3))
    api.fault = api_faults.named(api)[fault]
    async with asyncio.timeout(5):
        assert await trouble(api, OWN) is not None
        assert await trouble(api, LIST) is not None


@pytest.mark.parametrize(("most", "good"), [(20_000, True), (10_000, False), (100, False), (0, False)])
async def test_a_list_is_bounded_in_bytes_however_many_pages_it_has(
    api: ApiServer, most: int, good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube_module, "PAGE", 1)
    for number in range(14):
        await api.put(f"{LIST}/n{number}", {"metadata": {"name": f"n{number}"}, "spec": {"x": "x" * 1000}})
    where = Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None)
    async with Kube(where, connections=2, list_limit=most) as kube:
        if good:
            assert len(await kube.list(LIST)) >= 14
            return
        with pytest.raises(KubeError, match=rf"{most} bytes in all.*limits\.memory"):
            await kube.list(LIST)
    pages = most // 1000 + 1
    assert len(api.seen) <= pages


@pytest.mark.parametrize("items", [None, {"kind": "SriovNodeList", "metadata": {}, "items": None}])
async def test_an_empty_list_is_one_only_when_the_server_says_so(api: ApiServer, items: object) -> None:
    api.fault = None if items is None else api_faults.lists(items)
    assert await trouble(api, LIST) is None


async def test_one_that_is_held_back_is_not_sent(api: ApiServer) -> None:
    api.fault = api_faults.status(500)
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=2) as kube:
        errors = []
        for _ in range(50):
            with pytest.raises(KubeError) as caught:
                await kube.read(OWN)
            errors.append(caught.value)
    sent = [error for error in errors if not error.held]
    assert len(sent) == len(api.seen) <= 3
    assert all(error.retry_in > 0.0 for error in errors if error.held)


async def test_whoever_has_no_more_time_counts_as_unanswered(api: ApiServer) -> None:
    api.fault = api_faults.silence
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=2) as kube:
        for _ in range(10):
            with pytest.raises((TimeoutError, KubeError)):
                async with asyncio.timeout(0.05):
                    await kube.read(OWN)
    assert len(api.seen) <= 3
