"""An API server in memory over HTTP: objects, versions, lists in pages, watches that catch up, merge patches, tokens.

It knows no more of virtfn than a real API server does. If a fault is set, it sees each request first.
"""

import asyncio
import copy
import json
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml
from aiohttp import web

OURS = "/apis/virtfn.dev/v1alpha1"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/virtfn/leases"
PODS = "/api/v1/namespaces/virtfn/pods"
LISTS = (f"{OURS}/sriovpolicies", f"{OURS}/sriovnodes", "/api/v1/nodes", PODS)
Body = dict[str, Any]
Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
"""Returns the wrong answer to a request, or None for the right one."""


def _kind(name: str, kind: str) -> Body:
    verbs = ["get", "list", "watch", "patch"]
    return {"name": name, "kind": kind, "singularName": kind.lower(), "namespaced": False, "verbs": verbs}


DISCOVERY: dict[str, Body] = {
    "/api": {"versions": ["v1"]},
    "/apis": {
        "groups": [
            {
                "name": "virtfn.dev",
                "versions": [{"version": "v1alpha1"}],
                "preferredVersion": {"version": "v1alpha1"},
            }
        ]
    },
    "/api/v1": {"resources": [_kind("nodes", "Node"), _kind("namespaces", "Namespace")]},
    OURS: {"resources": [_kind("sriovpolicies", "SriovPolicy"), _kind("sriovnodes", "SriovNode")]},
}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request as it arrived."""

    at: float
    method: str
    path: str
    watch: bool
    token: str | None


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A copy of the store, like a snapshot of etcd."""

    objects: dict[str, Body]
    version: int


class ApiServer:
    """Serves until it is stopped; it can be started again, with the same objects on the same port."""

    def __init__(self) -> None:
        self.objects: dict[str, Body] = {}
        self.version = 1
        self.history: list[tuple[int, str, Body]] = []
        self.seen: list[Seen] = []
        self.fault: Fault | None = None
        self.token: str | None = None
        self.watching = 0
        self.port = 0
        self._moved = asyncio.Condition()
        self._open: set[asyncio.Task[Any]] = set()
        self._runner: web.AppRunner | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Serve on the port of the last time, or on any free port."""
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=tls).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Refuse new connections and end open ones."""
        for task in list(self._open):
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def break_watches(self) -> None:
        """End all watches that are open now."""
        for task in list(self._open):
            task.cancel()

    def copy(self) -> Copy:
        """Return a copy of the store."""
        return Copy(objects=copy.deepcopy(self.objects), version=self.version)

    def restore(self, found: Copy) -> None:
        """Go back to a copy; versions go on from there, so they come twice. Watches end."""
        self.objects, self.version = copy.deepcopy(found.objects), found.version
        self.history = [entry for entry in self.history if entry[0] <= found.version]
        self.break_watches()

    async def put(self, path: str, body: Body) -> Body:
        """Write an object and notify the watches."""
        self.version += 1
        old = self.objects.get(path)
        generation = old["metadata"]["generation"] + (old.get("spec") != body.get("spec")) if old else 1
        metadata = {"uid": f"u{self.version}", **body["metadata"], "resourceVersion": str(self.version)}
        self.objects[path] = {**body, "metadata": {**metadata, "generation": generation}}
        event = {"type": "MODIFIED" if old else "ADDED", "object": self.objects[path]}
        self.history.append((self.version, path, event))
        async with self._moved:
            self._moved.notify_all()
        return self.objects[path]

    async def delete(self, path: str) -> None:
        """Delete an object and notify the watches."""
        self.version += 1
        body = self.objects.pop(path)
        gone = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        self.history.append((self.version, path, {"type": "DELETED", "object": gone}))
        async with self._moved:
            self._moved.notify_all()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        token = request.headers.get("Authorization")
        watch = "watch" in request.query
        self.seen.append(Seen(at=time.monotonic(), method=request.method, path=request.path, watch=watch, token=token))
        if self.fault is not None and (answer := await self.fault(request)) is not None:
            return answer
        if self.token is not None and token != f"Bearer {self.token}":
            return refusal(401, "Unauthorized")
        return await (self._watch(request) if watch else self._once(request))

    async def _once(self, request: web.Request) -> web.StreamResponse:
        path, text = request.path, await request.text()
        match request.method:
            case "POST":
                body: Body = json.loads(text)
                own = f"{path}/{body['metadata']['name']}"
                return refusal(409, "exists") if own in self.objects else web.json_response(await self.put(own, body))
            case "PUT":
                body = json.loads(text)
                if path not in self.objects:
                    return refusal(404, "not found")
                if body["metadata"].get("resourceVersion") != self.objects[path]["metadata"]["resourceVersion"]:
                    return refusal(409, "the object has been modified")
                return web.json_response(await self.put(path, body))
            case "DELETE":
                if path not in self.objects:
                    return refusal(404, "not found")
                await self.delete(path)
                return web.json_response({"kind": "Status", "status": "Success"})
            case "PATCH" if request.content_type == "application/apply-patch+yaml":
                applied = {**self.objects.get(path, {}), **yaml.safe_load(text)}
                applied["metadata"] = {**applied["metadata"], "name": path.rpartition("/")[2]}
                return web.json_response(applied if "dryRun" in request.query else await self.put(path, applied))
            case "PATCH":
                own = path.removesuffix("/status")
                if own not in self.objects:
                    return refusal(404, "not found")
                patch = json.loads(text)
                known = self.objects[own]["metadata"]["resourceVersion"]
                if patch.get("metadata", {}).get("resourceVersion", known) != known:
                    return refusal(409, "the object has been modified")
                return web.json_response(await self.put(own, _merged(self.objects[own], patch)))
        if (found := DISCOVERY.get(path) or self.objects.get(path)) is not None:
            return web.json_response(found)
        return self._page(request) if path in LISTS else refusal(404, "not found")

    def _page(self, request: web.Request) -> web.StreamResponse:
        items = [body for key, body in sorted(self.objects.items()) if key.rsplit("/", 1)[0] == request.path]
        items = [item for item in items if _selected(item, request.query.get("fieldSelector", ""))]
        start, size = int(request.query.get("continue", 0)), int(request.query.get("limit", 500))
        more = {"continue": str(start + size)} if start + size < len(items) else {}
        metadata = {"resourceVersion": str(self.version), **more}
        return web.json_response({"kind": "List", "metadata": metadata, "items": items[start : start + size]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        selector = request.query.get("fieldSelector", "")
        since = int(request.query.get("resourceVersion", self.version))
        lasts = float(request.query.get("timeoutSeconds", "3600"))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        self.watching += 1
        try:
            async with asyncio.timeout(lasts):
                await self._send(request, response, selector, since)
        except TimeoutError:
            return response
        finally:
            self.watching -= 1

    def _told(self, version: int, path: str, event: Body, selector: str) -> Body | None:
        """Return an event as a watch with this selector tells it: an object that is not selected any more is gone."""
        earlier = [one["object"] for before, at, one in self.history if before < version and at == path]
        if event["type"] == "DELETED":
            return event if _selected(event["object"], selector) else None
        was, now = bool(earlier) and _selected(earlier[-1], selector), _selected(event["object"], selector)
        kind = ("MODIFIED" if was else "ADDED") if now else "DELETED"
        return {**event, "type": kind} if was or now else None

    async def _send(self, request: web.Request, response: web.StreamResponse, selector: str, since: int) -> NoReturn:
        while True:
            # A watch from a version that is yet to come, after a restored store, hears nothing before that version.
            news, since = [entry for entry in self.history if entry[0] > since], max(since, self.version)
            for version, path, event in news:
                if path.rsplit("/", 1)[0] == request.path and (told := self._told(version, path, event, selector)):
                    await response.write(json.dumps(told).encode() + b"\n")
            async with self._moved:
                while self.version <= since:
                    await self._moved.wait()


def _selected(body: Body, selector: str) -> bool:
    """Whether a field selector of one equation selects an object; fields that are absent are false."""
    path, _, wanted = selector.partition("=")
    found: Any = body
    for part in path.split(".") if path else ():
        found = found.get(part, False) if isinstance(found, dict) else False
    return not path or str(found).lower() == wanted.lower()


def refusal(status: int, message: str, **headers: str) -> web.Response:
    """Return a refusal with a Status object, as an API server's."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response({"kind": "Status", "code": status, "message": message}, status=status, headers=named)


def _merged(old: Body, patch: Body) -> Body:
    """Apply a merge patch (RFC 7386)."""
    merged = dict(old)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merged(merged[key] if isinstance(merged.get(key), dict) else {}, value)
        else:
            merged[key] = value
    return merged
