"""Wrong answers of an API server, or of a proxy in front of it, by name."""

import asyncio
import itertools
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from api_server import DISCOVERY, LISTS, OURS, ApiServer, Body, Fault, refusal

WRITES = ("POST", "PUT", "PATCH")
SLOW = 5000
"""Size of an answer that comes at a byte a second."""


def status(number: int, **headers: str) -> Fault:
    """Refuse every request."""

    async def refuse(request: web.Request) -> web.StreamResponse:
        return refusal(number, "no", **headers)

    return refuse


def writes(number: int) -> Fault:
    """Refuse writes; answer reads."""

    async def refuse(request: web.Request) -> web.StreamResponse | None:
        return refusal(number, "no") if request.method in WRITES else None

    return refuse


def body(content: bytes, *, number: int = 200, content_type: str = "application/json") -> Fault:
    """Answer every request with the same bytes."""

    async def say(request: web.Request) -> web.StreamResponse:
        return web.Response(body=content, status=number, content_type=content_type)

    return say


async def cut(request: web.Request) -> web.StreamResponse:
    """Close the connection in the middle of the body."""
    response = web.StreamResponse(headers={"Content-Length": "5000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"metadata":')
    if request.transport is not None:
        request.transport.abort()
    return response


async def silence(request: web.Request) -> web.StreamResponse:
    """Accept the request and never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def trickle(request: web.Request) -> web.StreamResponse:
    """Answer one byte a second, so that no time-out between two packets is reached."""
    response = web.StreamResponse(headers={"Content-Length": str(SLOW), "Content-Type": "application/json"})
    await response.prepare(request)
    for _ in range(SLOW):
        await response.write(b" ")
        await asyncio.sleep(1.0)  # this wait is the fault
    return response


async def endless_pages(request: web.Request) -> web.StreamResponse | None:
    """Answer lists with pages that always name a next page."""
    if request.path not in LISTS or "watch" in request.query:
        return None
    page = int(request.query.get("continue", "0")) + 1
    return web.json_response({"metadata": {"continue": str(page), "resourceVersion": "1"}, "items": []})


async def endless_body(request: web.Request) -> web.StreamResponse | None:
    """Answer with an endless body, as fast as the client reads."""
    if "watch" in request.query:
        return None
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for _ in range(200):
        await response.write(b"[" * (1 << 20))
    return response


def lists(document: object) -> Fault:
    """Answer lists with this document instead."""

    async def say(request: web.Request) -> web.StreamResponse | None:
        return web.json_response(document) if request.path in LISTS and "watch" not in request.query else None

    return say


def objects(api: ApiServer, change: Mapping[str, Any], *, without: str = "") -> Fault:
    """Change or remove a part of single objects and of the items of lists."""

    def changed(found: Body) -> Body:
        return {key: value for key, value in {**found, **change}.items() if key != without}

    async def say(request: web.Request) -> web.StreamResponse | None:
        if request.method != "GET" or request.path in DISCOVERY or "watch" in request.query:
            return None
        if request.path in LISTS:
            items = [changed(b) for path, b in api.objects.items() if path.rsplit("/", 1)[0] == request.path]
            return web.json_response({"metadata": {"resourceVersion": str(api.version)}, "items": items})
        found = api.objects.get(request.path) if request.path.startswith((OURS, "/api/v1/")) else None
        return None if found is None else web.json_response(changed(found))

    return say


def watch_says(*lines: object, ends: bool = True) -> Fault:
    """Answer watches with these lines, then end them or keep them open; all other requests are answered well."""

    async def say(request: web.Request) -> web.StreamResponse | None:
        if "watch" not in request.query:
            return None
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for line in lines:
            await response.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
        if not ends:
            await asyncio.Event().wait()
        return response

    return say


def in_turn(*faults: Fault) -> Fault:
    """Use these faults in turn, one for each request."""
    turn = itertools.cycle(faults)

    async def say(request: web.Request) -> web.StreamResponse | None:
        return await next(turn)(request)

    return say


GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}


def named(api: ApiServer) -> dict[str, Fault]:
    """Return every fault by its name."""
    return {
        "401": status(401),
        "403": status(403),
        "404": status(404),
        "409": status(409),
        "410": status(410),
        "429, Retry-After 60": status(429, Retry_After="60"),
        "429, Retry-After 0": status(429, Retry_After="0"),
        "429, Retry-After a date": status(429, Retry_After="Wed, 21 Oct 2099 07:28:00 GMT"),
        "500": status(500),
        "503": status(503),
        "302 to nowhere": status(302, Location="http://127.0.0.1:1/"),
        "403 for writes": writes(403),
        "404 for writes": writes(404),
        "409 for writes": writes(409),
        "422 for writes": writes(422),
        "500 for writes": writes(500),
        "401 and 500 in turn": in_turn(status(401), status(500)),
        "cut": cut,
        "silence": silence,
        "a byte a second": trickle,
        "HTML": body(b"<html>Bad gateway</html>", content_type="text/html"),
        "HTML with 502": body(b"<html>Bad gateway</html>", number=502, content_type="text/html"),
        "bad UTF-8": body(b'{"a": "\xff\xfe"}'),
        "a list": body(b"[1]"),
        "null": body(b"null"),
        "an empty object": body(b"{}"),
        "nested": body(b"[" * 50_000),
        "an endless body": endless_body,
        "endless pages": endless_pages,
        "items that are no list": lists({"metadata": {}, "items": {"a": 1}}),
        "items without metadata": lists({"metadata": {}, "items": [{"spec": {}}]}),
        "a list without items": lists({"metadata": {"resourceVersion": "1"}}),
        "no metadata": objects(api, {}, without="metadata"),
        "spec is a list": objects(api, {"spec": [1]}),
        "status is a text": objects(api, {"status": "fine"}),
        "watches end at once": watch_says(),
        "watches are expired": watch_says(GONE),
        "watches end with an error": watch_says({"type": "ERROR", "object": {"code": 500, "message": "etcd"}}),
        "watches say nonsense": watch_says(b"{\n", [1], {"type": "ADDED"}, {"type": 1, "object": None}),
        "watches are silent": watch_says(ends=False),
    }
