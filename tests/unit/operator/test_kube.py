"""Requests as the API server receives them: paths, media types, pages, tokens; and what its answers become."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from http_served import http_served

from virtfn_host.ports import ill, open_ports
from virtfn_operator.agent.node import NodeObject
from virtfn_operator.api import NODES, POLICIES
from virtfn_operator.apiserver.kube import Kube, ours, ssl_context
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.controller.reconcile import Reconciler
from virtfn_operator.settings import ApiServer

NODE = {"metadata": {"name": "n1", "uid": "node-uid", "labels": {}}}


class FakeApi:
    """Objects by path, and every request as it came; merge patches merge, lists have pages of one."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.headers: list[Any] = []
        self.refuse: set[str] = set()
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        text = await request.text()
        body: Any = json.loads(text) if text else None
        self.requests.append((request.method, request.path, body))
        self.headers.append(request.headers)
        if request.path in self.refuse:
            return web.json_response({"kind": "Status", "message": "no"}, status=403)
        match request.method:
            case "POST":
                path = f"{request.path}/{body['metadata']['name']}"
                if path in self.objects:
                    return web.json_response({"message": "exists"}, status=409)
                self.objects[path] = {**body, "metadata": {**body["metadata"], "uid": "made", "generation": 1}}
                return web.json_response(self.objects[path], status=201)
            case "PATCH":
                path = request.path.removesuffix("/status")
                if path not in self.objects:
                    return web.json_response({"message": "not found"}, status=404)
                found = self.objects[path]
                for part, patch in body.items():
                    merged = {**found.get(part, {}), **patch}
                    found[part] = {key: value for key, value in merged.items() if value is not None}
                return web.json_response(found)
            case _ if request.path in self.objects:
                return web.json_response(self.objects[request.path])
            case _ if request.path.rsplit("/", 1)[-1] in (NODES, POLICIES, "nodes"):
                return self._page(request)
        return web.json_response({"message": "not found"}, status=404)

    def _page(self, request: web.Request) -> web.Response:
        items = [body for path, body in sorted(self.objects.items()) if path.rsplit("/", 1)[0] == request.path]
        start = int(request.query.get("continue", 0))
        more = {"continue": str(start + 1)} if start + 1 < len(items) else {}
        return web.json_response({"items": items[start : start + 1], "metadata": more})

    def seen(self, *methods: str) -> list[tuple[str, str]]:
        return [(method, path) for method, path, _ in self.requests if method in methods]


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    fake = FakeApi()
    async with http_served(fake.answer) as fake.url:
        yield fake


def kube(api: FakeApi, token: Path | None = None) -> Kube:
    return Kube(ApiServer(url=api.url, token=token, ca=None), connections=4)


async def test_the_token_is_read_for_every_request(api: FakeApi, tmp_path: Path) -> None:
    token = tmp_path / "token"
    api.objects["/api/v1/nodes/n1"] = NODE
    async with kube(api, token) as client:
        for text in ("one\n", "two\n"):
            token.write_text(text)
            await client.read("/api/v1/nodes/n1")
    assert [headers["Authorization"] for headers in api.headers] == ["Bearer one", "Bearer two"]


async def test_a_list_is_read_to_its_last_page(api: FakeApi) -> None:
    api.objects |= {f"/api/v1/nodes/n{n}": {"metadata": {"name": f"n{n}"}} for n in range(3)}
    async with kube(api) as client:
        assert [item["metadata"]["name"] for item in await client.list("/api/v1/nodes")] == ["n0", "n1", "n2"]


async def test_errors_carry_what_the_server_said(api: FakeApi) -> None:
    async with kube(api) as client:
        with pytest.raises(KubeError, match="GET /x: 404: not found") as missing:
            await client.read("/x")
        assert missing.value.absent
    async with Kube(ApiServer(url="http://127.0.0.1:1", token=None, ca=None), connections=1) as nobody:
        with pytest.raises(KubeError, match="no answer") as silent:
            await nobody.read("/x")
        assert silent.value.status == 0


def test_cluster_authorities_without_key_usage_are_trusted() -> None:
    import ssl

    assert not ssl_context(None).verify_flags & ssl.VERIFY_X509_STRICT


async def test_the_agent_makes_its_object_owned_by_the_node_and_without_a_spec(api: FakeApi) -> None:
    api.objects["/api/v1/nodes/n1"] = NODE
    async with kube(api) as client:
        body = await NodeObject(client, "n1", instance="agent-1").ensure()
    assert body["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "node-uid"}
    ]
    assert "spec" not in body
    assert api.seen("POST") == [("POST", "/apis/virtfn.dev/v1alpha1/sriovnodes")]


async def test_a_status_is_written_once_and_its_transitions_are_events(api: FakeApi) -> None:
    api.objects["/api/v1/nodes/n1"] = NODE
    status = {
        "conditions": [{"type": "Ready", "status": "False", "reason": "VfsInUse", "message": "pod a/b holds it"}],
        "bootId": "b1",
    }
    async with kube(api) as client:
        node = NodeObject(client, "n1", instance="agent-1")
        await node.report(status)
        await node.report(dict(status))
    own = "/apis/virtfn.dev/v1alpha1/sriovnodes"
    events = "/apis/events.k8s.io/v1/namespaces/default/events"
    assert api.seen("POST", "PATCH") == [("POST", own), ("PATCH", f"{own}/n1/status"), ("POST", events)]
    event = api.requests[-1][2]
    assert (event["type"], event["reason"], event["regarding"]["name"]) == ("Warning", "VfsInUse", "n1")
    assert api.headers[-2]["Content-Type"] == "application/merge-patch+json"


async def test_a_field_that_vanishes_is_removed_and_a_lost_object_is_made_anew(api: FakeApi) -> None:
    api.objects["/api/v1/nodes/n1"] = NODE
    async with kube(api) as client:
        node = NodeObject(client, "n1", instance="agent-1")
        await node.report({"plan": {"steps": 1}, "bootId": "b1"})
        await node.report({"bootId": "b1"})
        assert api.requests[-1][2] == {"status": {"plan": None}}
        del api.objects[ours(NODES, "n1")]
        with pytest.raises(KubeError):
            await node.report({"bootId": "b2"})
        await node.report({"bootId": "b2"})
    assert api.objects[ours(NODES, "n1")]["status"] == {"bootId": "b2"}


async def test_a_reconcile_writes_specs_and_statuses_and_stops_at_nobody(api: FakeApi) -> None:
    spec = {
        "devices": [{"vendor": "8086"}],
        "virtualFunctions": {"count": 1, "pools": [{"resourceName": "fast"}]},
    }
    api.objects[ours(POLICIES, "fast")] = {"metadata": {"name": "fast", "uid": "u", "generation": 1}, "spec": spec}
    for name in ("a", "b"):
        api.objects[ours(NODES, name)] = {"metadata": {"name": name, "generation": 1}}
        api.objects[f"/api/v1/nodes/{name}"] = {"metadata": {"name": name}}
    api.refuse = {ours(NODES, "a")}
    async with kube(api) as client:
        reconciler = Reconciler(client, instance="c-1")
        assert not await reconciler.reconcile()
        assert "spec" in api.objects[ours(NODES, "b")]
        assert api.objects[ours(POLICIES, "fast")]["status"]["nodes"]["matching"] == 2
        api.refuse = set()
        assert await reconciler.reconcile()
        writes = len(api.seen("PATCH", "POST"))
        assert await reconciler.reconcile()
        assert len(api.seen("PATCH", "POST")) == writes
    accept = [h["Accept"] for h, (_, path, _) in zip(api.headers, api.requests, strict=True) if path == "/api/v1/nodes"]
    assert all("PartialObjectMetadataList" in text for text in accept)


async def test_health(unused_tcp_port: int) -> None:
    problems: list[str | None] = [None, "hung"]
    runner = await open_ports(unused_tcp_port, lambda: ill(problems.pop(0)))
    async with Kube(ApiServer(url=f"http://127.0.0.1:{unused_tcp_port}", token=None, ca=None), connections=1) as client:
        with pytest.raises(KubeError, match="not JSON"):
            await client.read("/healthz")
        with pytest.raises(KubeError, match="500: hung"):
            await client.read("/healthz")
    await runner.close()
