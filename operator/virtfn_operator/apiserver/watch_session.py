"""The session that kopf's watch goes through: with it a strange API server costs few requests and ends nothing.

kopf asks again at once when a watch ends, takes what it reads for granted, and ends its whole run over one odd line. So
here every request for the same list or watch waits longer the sooner it comes after the last; an answer is looked at
before kopf sees it; and all trouble reaches kopf in the two shapes that it goes on from: a body that broke off (it
lists or watches again) and an expired version (it lists again). A watch is only a hint that something moved: what is
decided is read by the loops themselves.
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
from virtfn_host.core.values.codec import CodecError, parse_json
from virtfn_operator.apiserver.answers import check_event, check_list
from virtfn_operator.apiserver.kube import OBJECT_LIMIT, PAGE_LIMIT, PAGES
from virtfn_operator.apiserver.session import Session, lines, read_body, retry_after
from virtfn_operator.settings import ApiServer

CALM = 60.0
"""Seconds that a list or watch must have lasted for the next to begin at once."""

BEGINS = 15.0
"""Seconds until an answer must have begun: of a watch an API server sends the headers at once."""

WHOLE = 30.0
"""Seconds for the whole of a page."""

SLOWEST = 20.0
"""Seconds at most between two attempts, so that a watch is back within a minute of the server's own return."""

REPEATED = 15.0
"""Seconds between two repetitions of any sort: a controller with three watches that expire at once asks 27 times
a minute, half of which renew its lease."""

EXPIRED = b'{"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "begin anew"}}\n'
"""What makes kopf list again."""


class BrokenOffError(aiohttp.ClientPayloadError):
    """There was no answer, or none that can be handed on; kopf takes it for a body that broke off."""


@dataclass(slots=True, kw_only=True)
class _Openings:
    backoff: Backoff = field(default_factory=lambda: Backoff(limit=SLOWEST))
    at: float = 0.0
    open_at: float = 0.0
    """By the back-off; not after `at` while nothing has been counted since."""
    asked_until: float = 0.0
    """By the server."""
    pages: int = 0


class WatchPace:
    """When a list or watch may begin again. One for all sessions of a watch; the clock is the caller's."""

    def __init__(self) -> None:
        self._openings: dict[str, _Openings] = {}
        self._repeats = Allowance(burst=1, every=REPEATED)

    def enter(self, key: str, now: float) -> float:
        """Seconds to wait before asking again; at 0.0 it counts as begun at `now`."""
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
        """The server asked for patience."""
        if (last := self._openings.get(key)) is not None:
            last.asked_until = until

    def turn_page(self, key: str) -> bool:
        """Whether one more page of the same list is to be believed."""
        last = self._openings.setdefault(key, _Openings())
        last.pages += 1
        return last.pages < PAGES


class WatchSession(Session):
    """As kopf is given it: what it may ask for is paced, what it is answered is checked."""

    def __init__(
        self, server: ApiServer, *, connections: int, pace: WatchPace, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(server, connections=connections)
        self._pace = pace
        self._clock = clock

    async def request(self, method: str, url: str, **options: Any) -> aiohttp.ClientResponse:
        """One request of kopf's.

        Raises:
            BrokenOffError: no answer, a refusal, or an answer that no API server gives.
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
    """What API versions, groups and kinds there are; kopf reads the rest of it, and may end over it."""
    known = isinstance(document, dict) and any(name in document for name in ("versions", "groups", "resources"))
    return None if known else "the answer is neither a list nor one of what the API server knows"


def _answering(response: aiohttp.ClientResponse, body: bytes) -> aiohttp.ClientResponse:
    response.status = HTTPStatus.OK
    response.content = cast(aiohttp.StreamReader, _Whole(response.content, body))
    return response


class _Content:
    """The body of a response, some of its methods replaced."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)


class _Whole(_Content):
    """A body that was read already."""

    def __init__(self, content: aiohttp.StreamReader, body: bytes) -> None:
        super().__init__(content)
        self._body = body

    async def read(self, _: int = -1) -> bytes:
        return self._body

    async def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        yield self._body


class _CheckedLines(_Content):
    """The lines of a watch, each looked at; the first that is none ends it as expired."""

    async def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        async for line in lines(self._content, OBJECT_LIMIT):
            try:
                trouble = check_event(parse_json(line, limit=OBJECT_LIMIT))
            except CodecError:
                trouble = "it is no JSON"
            if trouble is not None:
                yield EXPIRED
                return
            yield line + b"\n"
