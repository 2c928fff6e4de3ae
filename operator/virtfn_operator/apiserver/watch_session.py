"""The session that kopf's watch uses, so that a misbehaving API server costs few requests and stops no watch.

kopf asks again at once when a watch ends, trusts what it reads, and ends its whole run over one malformed line. So here
each request for the same list or watch waits longer the sooner it follows the last one, and answers are checked before
kopf sees them. kopf sees all trouble in one of two forms from which it goes on: a body that broke off (it lists or
watches again) or an expired version (it lists again). A watch is only a hint that something changed: the loops read
themselves what they decide from.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import aiohttp

from virtfn_host.backoff import LIMIT, Allowance, Backoff
from virtfn_host.core.values.codec import CodecError
from virtfn_host.core.values.strict_json import parse_json
from virtfn_operator.apiserver.answers import check_event, check_list
from virtfn_operator.apiserver.kube import OBJECT_LIMIT, PAGE_LIMIT, PAGES
from virtfn_operator.apiserver.session import Session, lines, read_body, retry_after
from virtfn_operator.settings import ApiServer

CALM = 60.0
"""Seconds that a list or watch must have lasted for the next one to start at once."""

BEGINS = 15.0
"""Seconds until an answer must have begun: an API server sends the headers of a watch at once."""

WHOLE = 30.0
"""Seconds for a whole page."""

SLOWEST = 20.0
"""Seconds between two attempts, at most, so that a watch is back within a minute after the server is."""

REPEATED = 15.0
"""Seconds between two repetitions of any sort: a controller whose three watches expire at once sends 27 requests a
minute, half of which renew its lease."""

EXPIRED = b'{"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "begin anew"}}\n'
"""The line that makes kopf list again."""


class BrokenOffError(aiohttp.ClientPayloadError):
    """There was no answer, or one that cannot be passed on; kopf takes it for a body that broke off."""


@dataclass(slots=True, kw_only=True)
class _Openings:
    backoff: Backoff = field(default_factory=lambda: Backoff(limit=SLOWEST))
    at: float = 0.0
    open_at: float = 0.0
    """Time until which the back-off waits; not after `at` while no failure has been counted since."""
    asked_until: float = 0.0
    """Time until which the server asked to wait."""
    pages: int = 0


class WatchPace:
    """Decides when a list or watch may start again. One for all sessions of a watch; the caller passes the time."""

    def __init__(self) -> None:
        self._openings: dict[str, _Openings] = {}
        self._repeats = Allowance(burst=1, every=REPEATED)

    def enter(self, key: str, now: float) -> float:
        """Return the seconds to wait before asking again; at 0.0 the request counts as started at `now`."""
        last = self._openings.get(key)
        if last is None:
            self._openings[key] = _Openings(at=now)
            return 0.0
        if now - last.at >= CALM and now >= max(last.open_at, last.asked_until):
            last.backoff.succeeded()
        else:
            if last.open_at <= last.at:
                last.open_at = last.at + last.backoff.failed()
            wait = max(last.open_at - now, last.asked_until - now, self._repeats.wait(now))
            if wait > 0.0:
                return wait
            self._repeats.take(now)
        last.at, last.open_at, last.pages = now, 0.0, 0
        return 0.0

    def put_off(self, key: str, until: float) -> None:
        """Note that the server asked to wait."""
        if (last := self._openings.get(key)) is not None:
            last.asked_until = until

    def turn_page(self, key: str) -> bool:
        """Whether the same list may have one more page."""
        last = self._openings.setdefault(key, _Openings())
        last.pages += 1
        return last.pages < PAGES


class WatchSession(Session):
    """The session that kopf gets: its requests are paced, its answers are checked."""

    def __init__(
        self, server: ApiServer, *, connections: int, pace: WatchPace, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(server, connections=connections)
        self._pace = pace
        self._clock = clock

    async def request(self, method: str, url: str, **options: Any) -> aiohttp.ClientResponse:
        """Send one request of kopf.

        Raises:
            BrokenOffError: no answer, a refusal, or a malformed answer.
        """
        asked = urlsplit(url)
        query = parse_qs(asked.query)
        watching = "watch" in query
        key = f"{method.upper()} {asked.path}{' (watch)' if watching else ''}"
        if "continue" not in query:
            while (wait := self._pace.enter(key, self._clock())) > 0.0:
                await asyncio.sleep(wait)
        elif not self._pace.turn_page(key):
            raise BrokenOffError(f"{key}: the list has more than {PAGES} pages")
        try:
            async with asyncio.timeout(BEGINS if watching else WHOLE):
                response = await super().request(method, url, **options)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise BrokenOffError(f"{key}: no answer: {error!r}") from error
        if watching and response.status == HTTPStatus.GONE:
            return _answering(response, EXPIRED)
        if response.status != HTTPStatus.OK:
            self._pace.put_off(key, self._clock() + min(retry_after(response) or 0.0, LIMIT))
            response.close()
            raise BrokenOffError(f"{key}: {response.status}")
        if watching:
            response.content = cast(aiohttp.StreamReader, _CheckedLines(response.content))
            return response
        return await _checked(key, response)


async def _checked(key: str, response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
    try:
        async with asyncio.timeout(WHOLE):
            body = await read_body(response, PAGE_LIMIT)
        document = await asyncio.to_thread(parse_json, body, limit=PAGE_LIMIT)
    except (aiohttp.ClientError, TimeoutError, OSError, CodecError) as error:
        response.close()
        raise BrokenOffError(f"{key}: {error!r}") from error
    trouble = _strange_list(document) if isinstance(document, dict) and "items" in document else _discovery(document)
    if trouble is not None or response.content_type != "application/json":
        response.close()
        raise BrokenOffError(f"{key}: {trouble or response.content_type}")
    return _answering(response, body)


def _strange_list(document: dict[str, Any]) -> str | None:
    if (trouble := check_list(document)) is not None:
        return trouble
    goes_on = bool(document["metadata"].get("continue"))
    return "the list goes on with nothing" if goes_on and not document["items"] else None


def _discovery(document: object) -> str | None:
    """Check an answer about API versions, groups or kinds. kopf reads the rest of it, and may end over it."""
    known = isinstance(document, dict) and any(name in document for name in ("versions", "groups", "resources"))
    return None if known else "the answer is neither a list nor one of what the API server knows"


def _answering(response: aiohttp.ClientResponse, body: bytes) -> aiohttp.ClientResponse:
    response.status = HTTPStatus.OK
    response.content = cast(aiohttp.StreamReader, _Whole(response.content, body))
    return response


class _Content:
    """The body of a response; subclasses replace some of its methods."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)


class _Whole(_Content):
    """A body that is read already."""

    def __init__(self, content: aiohttp.StreamReader, body: bytes) -> None:
        super().__init__(content)
        self._body = body

    async def read(self, _: int = -1) -> bytes:
        return self._body

    async def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        yield self._body


class _CheckedLines(_Content):
    """The lines of a watch, each checked; the first invalid one ends the watch as expired."""

    async def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        async for line in lines(self._content, OBJECT_LIMIT):
            try:
                trouble = check_event(parse_json(line, limit=OBJECT_LIMIT))
            except CodecError:
                trouble = "not JSON"
            if trouble is not None:
                yield EXPIRED
                return
            yield line + b"\n"
