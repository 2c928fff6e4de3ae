"""Both processes as the chart starts them, on an API server that lists, watches and patches: watch, react, SIGTERM."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from api_server import DISCOVERY
from http_served import http_served
from scraped import scrape

from virtfn_operator.ending import LEASE_LOST

ROOT = Path(__file__).resolve().parents[3]
OURS = "/apis/virtfn.dev/v1alpha1"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/virtfn/leases"
WATCHED = {f"{OURS}/sriovpolicies", f"{OURS}/sriovnodes", "/api/v1/nodes"}
SPEC = {"devices": [{"vendor": "8086"}], "virtualFunctions": {"count": 1, "pools": [{"resourceName": "fast"}]}}


class ApiServer:
    """Objects by path, a version for each write, and watchers that hear of it."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.watchers: list[tuple[str, str, asyncio.Queue[dict[str, Any]]]] = []
        self.version = 1
        self.url = ""

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        old = self.objects.get(path)
        generation = old["metadata"]["generation"] + (old.get("spec") != body.get("spec")) if old else 1
        metadata = {"uid": f"u{self.version}", **body["metadata"]}
        metadata |= {"resourceVersion": str(self.version), "generation": generation}
        self.objects[path] = {**body, "metadata": metadata}
        folder, name = path.rsplit("/", 1)
        for watched, selector, queue in self.watchers:
            if watched == folder and selector in ("", f"metadata.name={name}"):  # no Node is cordoned here
                queue.put_nowait({"type": "MODIFIED" if old else "ADDED", "object": self.objects[path]})
        return self.objects[path]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path, text = request.path, await request.text()
        if request.query.get("watch"):
            return await self._watch(request)
        if request.method in ("POST", "PUT"):
            body: Any = json.loads(text)
            own = path if request.method == "PUT" else f"{path}/{body['metadata']['name']}"
            known = self.objects.get(own, {"metadata": {}})["metadata"].get("resourceVersion")
            if request.method == "PUT" and body["metadata"].get("resourceVersion") != known:
                return web.json_response({"message": "the object has been modified"}, status=409)
            return web.json_response(self.put(own, body))
        if request.method == "PATCH":
            path = path.removesuffix("/status")
            if path not in self.objects:
                return web.json_response({"message": "not found"}, status=404)
            merged = {
                part: {k: v for k, v in {**self.objects[path].get(part, {}), **patch}.items() if v is not None}
                for part, patch in json.loads(text).items()
            }
            return web.json_response(self.put(path, {**self.objects[path], **merged}))
        if found := DISCOVERY.get(path) or self.objects.get(path):
            return web.json_response(found)
        if path in (f"{OURS}/sriovpolicies", f"{OURS}/sriovnodes", "/api/v1/nodes"):
            cordoned = "unschedulable" in request.query.get("fieldSelector", "")
            items = [body for key, body in self.objects.items() if key.rsplit("/", 1)[0] == path and not cordoned]
            return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})
        return web.json_response({"message": "not found"}, status=404)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response, queue = web.StreamResponse(), asyncio.Queue[dict[str, Any]]()
        await response.prepare(request)
        self.watchers.append((request.path, request.query.get("fieldSelector", ""), queue))
        while True:
            await response.write(json.dumps(await queue.get()).encode() + b"\n")


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    api = ApiServer()
    async with http_served(api.answer) as api.url:
        yield api


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not true():
            await asyncio.sleep(0.01)


Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start(server: ApiServer, unused_tcp_port: int) -> AsyncIterator[Start]:
    started = []
    path = os.pathsep.join([*(str(ROOT / root) for root in ("host", "operator")), os.environ.get("PYTHONPATH", "")])
    known = {"PYTHONPATH": path, "VIRTFN_API_URL": server.url, "VIRTFN_HEALTH_PORT": str(unused_tcp_port)}

    async def begin(process: str, **environ: str) -> asyncio.subprocess.Process:
        command = (sys.executable, "-m", "virtfn_operator", process)
        whole = {**os.environ, **known, **environ}
        begun = await asyncio.create_subprocess_exec(*command, env=whole, cwd="/", stderr=asyncio.subprocess.PIPE)
        started.append(begun)
        return begun

    yield begin
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def end(process: asyncio.subprocess.Process) -> str:
    """SIGTERM; what it said. It must end well and soon."""
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def test_the_controller_leads_merges_and_reacts(server: ApiServer, start: Start) -> None:
    own = f"{OURS}/sriovnodes/n1"
    server.put("/api/v1/nodes/n1", {"metadata": {"name": "n1"}})
    server.put(own, {"metadata": {"name": "n1"}})
    process = await start("controller", POD_NAME="c-1", POD_NAMESPACE="virtfn")
    await until(lambda: server.objects[own].get("spec") == {"policies": [], "mayChange": False})
    await until(lambda: {path for path, *_ in server.watchers} == WATCHED)
    assert server.objects[f"{LEASE}/virtfn-controller"]["spec"]["holderIdentity"] == "c-1"
    server.put(f"{OURS}/sriovpolicies/fast", {"metadata": {"name": "fast"}, "spec": SPEC})
    await until(lambda: [p["name"] for p in server.objects[own]["spec"]["policies"]] == ["fast"])
    await until(lambda: server.objects[f"{OURS}/sriovpolicies/fast"].get("status", {}).get("nodes"))
    await end(process)
    assert server.objects[f"{LEASE}/virtfn-controller"]["spec"]["holderIdentity"] == ""


async def test_a_controller_whose_lease_another_has_ends_with_a_status_of_its_own(
    server: ApiServer, start: Start
) -> None:
    process = await start("controller", POD_NAME="c-1", POD_NAMESPACE="virtfn")
    await until(lambda: f"{LEASE}/virtfn-controller" in server.objects)
    lease = server.objects[f"{LEASE}/virtfn-controller"]
    server.put(f"{LEASE}/virtfn-controller", {**lease, "spec": {**lease["spec"], "holderIdentity": "c-2"}})
    async with asyncio.timeout(30):
        _, said = await process.communicate()
    assert process.returncode == LEASE_LOST, said.decode()


async def test_the_agent_makes_its_object_and_watches_no_other(server: ApiServer, start: Start, tmp_path: Path) -> None:
    own = f"{OURS}/sriovnodes/n1"
    server.put("/api/v1/nodes/n1", {"metadata": {"name": "n1"}})
    paths = {name: str(tmp_path / name) for name in ("VIRTFN_HOST_SOCKET", "VIRTFN_POOLS", "VIRTFN_LEDGER")}
    process = await start("agent", NODE_NAME="n1", **paths)
    await until(lambda: server.watchers)
    await until(lambda: server.objects.get(own, {}).get("status"))
    conditions = server.objects[own]["status"]["conditions"]
    assert [(c["type"], c["reason"]) for c in conditions] == [("Ready", "HostUnreachable")]
    server.put(own, {**server.objects[own], "spec": {"policies": [], "mayChange": False}})
    said = await end(process)
    assert "Traceback" not in said
    # At its end: a watch of others may begin later than its own.
    assert {(path, selector) for path, selector, _ in server.watchers} == {(f"{OURS}/sriovnodes", "metadata.name=n1")}


@pytest.mark.parametrize("name", ["VIRTFN_POOLS", "VIRTFN_LEDGER", "VIRTFN_PODRESOURCES"])
async def test_an_agent_ends_and_says_why_when_a_folder_of_its_files_is_replaced_on_the_node(
    server: ApiServer, start: Start, tmp_path: Path, name: str
) -> None:
    """It would write or read in the old one for ever."""
    server.put("/api/v1/nodes/n1", {"metadata": {"name": "n1"}})
    paths = {name: str(tmp_path / name) for name in ("VIRTFN_HOST_SOCKET", "VIRTFN_POOLS", "VIRTFN_LEDGER")}
    folder = tmp_path / "folder"
    folder.mkdir()
    held = os.open(folder, os.O_RDONLY)  # a mount holds it as an open file does
    process = await start("agent", NODE_NAME="n1", **paths | {name: f"/proc/{os.getpid()}/fd/{held}/file"})
    await until(lambda: server.objects.get(f"{OURS}/sriovnodes/n1", {}).get("status"))
    folder.rmdir()
    folder.mkdir()
    async with asyncio.timeout(30):
        _, said = await process.communicate()
    os.close(held)
    assert process.returncode == 1
    assert "was removed on the node, so what is there now cannot be seen" in said.decode().splitlines()[-1]
    assert "Traceback" not in said.decode()


async def test_metrics_are_served_at_a_port_of_their_own(
    server: ApiServer, start: Start, unused_tcp_port_factory: Callable[[], int], tmp_path: Path
) -> None:
    server.put("/api/v1/nodes/n1", {"metadata": {"name": "n1"}})
    paths = {name: str(tmp_path / name) for name in ("VIRTFN_HOST_SOCKET", "VIRTFN_POOLS", "VIRTFN_LEDGER")}
    of = {"controller": {"POD_NAME": "c-1", "POD_NAMESPACE": "virtfn"}, "agent": {"NODE_NAME": "n1", **paths}}
    for name, environ in of.items():
        port, health = unused_tcp_port_factory(), unused_tcp_port_factory()
        address = {"VIRTFN_METRICS_PORT": str(port), "VIRTFN_METRICS_HOST": "127.0.0.1"}
        process = await start(name, VIRTFN_HEALTH_PORT=str(health), **address, **environ)
        await until(partial(_listens, port))
        found = await scrape(port)
        assert {dict(labels)["process"] for labels in found["virtfn_build_info"]} == {name}
        await end(process)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
