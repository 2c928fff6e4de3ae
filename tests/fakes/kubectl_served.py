"""A server for a real kubectl: the recorded objects of a fleet, and what kubectl asks before it describes or writes.

It has the discovery and OpenAPI documents of our two kinds, as an API server makes them of the CRDs. Writes are stored
unless they are a dry run; what a test wants refused is refused.
"""

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fake_cluster import FakeCluster

from virtfn_operator.api import GROUP, NODES, POLICIES, VERSION
from virtfn_operator.api.patch import patched

OURS = f"{GROUP}/{VERSION}"
_VERSION = {"groupVersion": OURS, "version": VERSION}
_EVENTS = {"name": "events", "singularName": "event", "namespaced": True, "kind": "Event", "verbs": ["get", "list"]}
_QUERY = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in ("dryRun", "fieldValidation")]


def _resource(plural: str, kind: str, short: str) -> dict[str, Any]:
    names = {"name": plural, "singularName": kind.lower(), "kind": kind, "shortNames": [short]}
    return {**names, "namespaced": False, "verbs": ["create", "get", "list", "patch"]}


def _resources(group: str, resources: list[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": resources}


def _patch(kind: str) -> dict[str, Any]:
    named = {"group": GROUP, "version": VERSION, "kind": kind}
    return {"patch": {"parameters": _QUERY, "x-kubernetes-group-version-kind": named}}


DISCOVERY: Mapping[str, Any] = {
    "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{"name": GROUP, "versions": [_VERSION], "preferredVersion": _VERSION}],
    },
    "/api/v1": _resources("v1", [_EVENTS]),
    f"/apis/{OURS}": _resources(
        OURS, [_resource(POLICIES, "SriovPolicy", "svp"), _resource(NODES, "SriovNode", "svn")]
    ),
    "/openapi/v3": {"paths": {f"apis/{OURS}": {"serverRelativeURL": f"/openapi/v3/apis/{OURS}"}}},
    f"/openapi/v3/apis/{OURS}": {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.34.0"},
        "paths": {f"/apis/{OURS}/{POLICIES}/{{name}}": _patch("SriovPolicy")},
    },
    "/api/v1/events": {"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": []},
}


@dataclass(frozen=True, kw_only=True)
class Written:
    """A request that writes."""

    method: str
    path: str
    query: Mapping[str, str]
    kind: str
    """Its content type."""
    body: Any


@dataclass
class Served:
    """The server: what it has, and what was written."""

    cluster: FakeCluster
    folder: Path
    url: str = ""
    written: list[Written] = field(default_factory=list)
    refusal: dict[str, Any] | None = None
    """The Status with which writes are refused."""

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a kubectl that knows no other cluster."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "KUBECONFIG": str(self.folder / "config")}

    def kubectl(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run the real kubectl."""
        return subprocess.run(
            ["kubectl", *words], capture_output=True, text=True, env=self.environment, timeout=50, check=False
        )


@contextmanager
def served(cluster: FakeCluster, folder: Path) -> Iterator[Served]:
    """Serve a fleet; `folder` gets kubectl's config and cache."""
    state = Served(cluster, folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path in DISCOVERY:
                self.answer(200, DISCOVERY[path])
                return
            done = state.cluster(["kubectl", "get", "--raw", self.path], 0)
            if done.status:
                self.answer(404, refused("NotFound", 404, "not found"))
            else:
                self.answer(200, json.loads(done.out))

        def do_POST(self) -> None:
            self.write_to(None)

        def do_PATCH(self) -> None:
            folder, _, name = urlsplit(self.path).path.rpartition("/")
            bodies = state.cluster.lists.get(folder, ())
            self.write_to(next((it for it in bodies if it["metadata"]["name"] == name), None))

        def write_to(self, old: Any) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            kind = self.headers["Content-Type"] or ""
            state.written.append(Written(method=self.command, path=parts.path, query=query, kind=kind, body=body))
            if state.refusal is not None:
                self.answer(state.refusal["code"], state.refusal)
                return
            new = patched(old, body) if old else {**body, "metadata": {**body["metadata"], "uid": "u", "generation": 1}}
            if old is not None and "dryRun" not in query:
                old.clear()
                old.update(new)
            self.answer(200 if old else 201, new)

        def answer(self, code: int, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        (folder / "config").write_text(json.dumps(_config(state.url)))
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


def _config(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "contexts": [{"name": "lab", "context": {"cluster": "c", "user": ""}}],
        "current-context": "lab",
    }


def refused(reason: str, code: int, message: str) -> dict[str, Any]:
    """Return the Status of a refusal."""
    told = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason}
    return {**told, "message": message, "code": code}
