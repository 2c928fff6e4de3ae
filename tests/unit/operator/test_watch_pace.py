"""kopf's session on a server that misbehaves: few requests in any minute, and kopf sees only what it goes on from."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import api_faults
import pytest
from api_server import OURS, ApiServer

from virtfn_operator.apiserver import watch_session
from virtfn_operator.apiserver.watch_session import BrokenOffError, WatchPace, WatchSession
from virtfn_operator.settings import ApiServer as Where

LIST = f"{OURS}/sriovnodes?limit=500"
WATCH = f"{OURS}/sriovnodes?watch=true&resourceVersion=1"


def openings(pace: WatchPace, keys: list[str], seconds: float, *, start: float = 1000.0) -> int:
    count, now = 0, start
    while now < start + seconds:
        count += sum(pace.enter(key, now) == 0.0 for key in keys)
        now += 0.05
    return count


@pytest.mark.parametrize("kinds", [1, 3])
def test_watches_that_end_at_once_cost_few_requests_in_sum(kinds: int) -> None:
    keys = [f"{what} {kind}" for kind in range(kinds) for what in ("list", "watch")]
    pace = WatchPace()
    assert openings(pace, keys, 60.0) <= 22
    assert openings(pace, keys, 60.0, start=1060.0) <= 16


def test_a_watch_that_lasts_begins_anew_at_once() -> None:
    pace = WatchPace()
    for now in (0.0, 70.0, 140.0, 440.0):
        assert pace.enter("watch", now) == 0.0


def test_patience_that_the_server_asks_for_counts_beside_the_growing_one() -> None:
    pace = WatchPace()
    now = 0.0
    waits = []
    for _ in range(6):
        while (wait := pace.enter("list", now)) > 0.0:
            now += wait
        waits.append(now)
        pace.put_off("list", now + 1.0)
    assert waits[1] >= 1.0
    assert waits[-1] - waits[-2] > 5.0


class Swift(WatchPace):
    """Does not wait, because the waiting is tested above."""

    def enter(self, key: str, now: float) -> float:
        return 0.0


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    server = ApiServer()
    await server.start()
    await server.put(f"{OURS}/sriovnodes/n1", {"metadata": {"name": "n1"}, "spec": {}})
    yield server
    await server.stop()


async def ask(api: ApiServer, path: str) -> Any:
    """What kopf would see: the document of a list, the lines of a watch."""
    url = f"http://127.0.0.1:{api.port}"
    session = WatchSession(Where(url=url, token=None, ca=None), connections=2, pace=Swift())
    try:
        async with await session.request(
            "get", url + path, json=None, headers=None, timeout=aiohttp.ClientTimeout(total=5)
        ) as response:
            assert response.status == 200
            if "watch" not in path:
                return await response.json()
            return [json.loads(part) async for part in response.content.iter_chunked(1 << 20)]
    finally:
        await session.close()


FAULTS = (
    *("401", "403", "404", "409", "410", "429, Retry-After 60", "429, Retry-After a date", "500", "302 to nowhere"),
    *("cut", "HTML", "HTML with 502", "bad UTF-8", "a list", "null", "an empty object", "nested", "an endless body"),
    *("items that are no list", "items without metadata", "a list without items", "no metadata", "spec is a list"),
)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_strange_list_is_one_that_broke_off(
    api: ApiServer, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_session, "PAGE_LIMIT", 1 << 20)
    api.fault = api_faults.named(api)[fault]
    with pytest.raises(BrokenOffError):
        await ask(api, LIST)


async def test_a_good_list_and_what_the_server_knows_pass_as_they_are(api: ApiServer) -> None:
    assert [item["metadata"]["name"] for item in (await ask(api, LIST))["items"]] == ["n1"]
    assert (await ask(api, "/apis"))["groups"]
    assert (await ask(api, OURS))["resources"]


EXPIRED = 410


@pytest.mark.parametrize(
    "line",
    [
        api_faults.GONE,
        {"type": "ERROR", "object": {"code": 500, "message": "etcd"}},
        {"type": "ERROR", "object": None},
        {"type": "ERROR"},
        {"type": "ADDED"},
        {"type": "ADDED", "object": {"spec": {}}},
        {"type": "ADDED", "object": {"metadata": {"name": "n1"}, "spec": [1]}},
        {"type": "MODIFIED", "object": []},
        {"type": 1, "object": None},
        {"type": "BOOKMARK", "object": []},
        [1],
        None,
        b"{\n",
        b"\xff\xfe\n",
        b"[" * 50_000 + b"\n",
        b"x" * (1 << 17),
    ],
    ids=lambda line: str(line)[:40],
)
async def test_a_strange_line_is_handed_on_as_an_expired_watch(
    api: ApiServer, line: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_session, "OBJECT_LIMIT", 1 << 16)
    good = {"type": "ADDED", "object": {"metadata": {"name": "n1", "resourceVersion": "5"}}}
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "6"}}}
    api.fault = api_faults.watch_says(good, bookmark, line, good)
    try:
        said = await ask(api, WATCH)
    except aiohttp.ClientPayloadError:
        assert isinstance(line, bytes)  # too long a line breaks off, which kopf watches again after
        return
    assert said[:2] == [good, bookmark]
    assert [(event["type"], event["object"]["code"]) for event in said[2:]] == [("ERROR", EXPIRED)]


async def test_a_watch_that_is_refused_as_expired_is_one_to_kopf(api: ApiServer) -> None:
    api.fault = api_faults.status(410)
    said = await ask(api, WATCH)
    assert [event["object"]["code"] for event in said] == [EXPIRED]


async def test_pages_without_end_are_not_read_to_it(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_session, "PAGES", 20)
    url = f"http://127.0.0.1:{api.port}"
    session = WatchSession(Where(url=url, token=None, ca=None), connections=2, pace=Swift())
    (await session.request("get", f"{url}{LIST}")).close()
    for page in range(1, 20):
        (await session.request("get", f"{url}{LIST}&continue={page}")).close()
    with pytest.raises(BrokenOffError, match="more than 20 pages"):
        await session.request("get", f"{url}{LIST}&continue=20")
    await session.close()
    assert len(api.seen) == 20
