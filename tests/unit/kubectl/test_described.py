"""What `kubectl describe` prints of the recorded fleets, as docs/describe.md shows it; VIRTFN_UPDATE=1 writes it anew.

A real kubectl asks a server that has the discovery documents of our CRDs and the recorded objects.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fake_cluster import FakeCluster, cluster_of, recorded

from virtfn_operator.api import GROUP, NODES, POLICIES, VERSION

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="THERE IS NO kubectl HERE, so docs/describe.md is not checked")
PAGE = Path(__file__).resolve().parents[3] / "docs/describe.md"
MARK = "\n## "
FLEETS = {
    "healthy": ("All is well", ["svp fast", "svn node-1"]),
    "changing": ("A change is on its way", ["svp fast", "svn node-3"]),
    "blocked": ("A pod is in the way", ["svp fast", "svn node-1"]),
    "failed": ("A node failed, and a policy is rejected", ["svp fast", "svp late", "svn node-2"]),
}
Described = Callable[[str, str], str]


def resource(plural: str, kind: str, short: str) -> dict[str, Any]:
    names = {"name": plural, "singularName": kind.lower(), "kind": kind, "shortNames": [short]}
    return {**names, "namespaced": False, "verbs": ["get", "list"]}


def api_resources(group: str, resources: list[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": resources}


OURS = f"{GROUP}/{VERSION}"
_VERSION = {"groupVersion": OURS, "version": VERSION}
_EVENTS = {"name": "events", "singularName": "event", "namespaced": True, "kind": "Event", "verbs": ["get", "list"]}
DISCOVERY = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{"name": GROUP, "versions": [_VERSION], "preferredVersion": _VERSION}],
    },
    "/api/v1": api_resources("v1", [_EVENTS]),
    f"/apis/{OURS}": api_resources(
        OURS, [resource(POLICIES, "SriovPolicy", "svp"), resource(NODES, "SriovNode", "svn")]
    ),
    "/api/v1/events": {"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": []},
}


@pytest.fixture
def described(tmp_path: Path) -> Iterator[Described]:
    """Return a function that has an object of a recorded fleet described."""
    clusters: list[FakeCluster] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path in DISCOVERY:
                self.answer(200, json.dumps(DISCOVERY[path]))
                return
            done = clusters[-1](["kubectl", "get", "--raw", self.path], 0)
            self.answer(404 if done.status else 200, done.out or json.dumps({"kind": "Status", "code": 404}))

        def answer(self, code: int, body: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def of(fleet: str, what: str) -> str:
            clusters.append(cluster_of(recorded(fleet)))
            done = subprocess.run(
                [
                    str(KUBECTL),
                    f"--server=http://127.0.0.1:{server.server_port}",
                    f"--cache-dir={tmp_path / fleet}",
                    "describe",
                    *what.split(),
                ],
                capture_output=True,
                text=True,
                env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": os.devnull},
                timeout=50,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, "")
            return done.stdout

        yield of
        server.shutdown()
        thread.join()


def section(described: Described, fleet: str) -> str:
    title, objects = FLEETS[fleet]
    parts = [f"## {title}\n"]
    for what in objects:
        lines = [f"$ kubectl describe {what}", *described(fleet, what).splitlines()]
        parts.append("\n".join(f"    {line}".rstrip() for line in lines) + "\n")
    return "\n".join(parts)


def test_the_page_has_what_is_printed(described: Described) -> None:
    head = PAGE.read_text().split(MARK)[0].rstrip() + "\n"
    whole = "\n".join([head, *(section(described, fleet) for fleet in FLEETS)])
    if os.environ.get("VIRTFN_UPDATE"):
        PAGE.write_text(whole)
    assert PAGE.read_text() == whole, "VIRTFN_UPDATE=1 writes docs/describe.md anew"


@pytest.mark.parametrize(
    ("fleet", "what", "reason", "names"),
    [
        ("healthy", "svp fast", "Converged", "2 of 2 nodes"),
        ("changing", "svn node-3", "WaitingForTurn", "other nodes go first"),
        ("blocked", "svp fast", "VfsInUse", "default/dpdk-0"),
        ("blocked", "svn node-1", "VfsInUse", "default/dpdk-0"),
        ("failed", "svn node-2", "WriteRefused", "No space left on device"),
        ("failed", "svp late", "CountConflict", "policy fast has set count to 4"),
    ],
)
def test_a_description_has_reason_and_cause(
    described: Described, fleet: str, what: str, reason: str, names: str
) -> None:
    text = described(fleet, what)
    assert re.search(rf"Reason: +{reason}$", text, re.MULTILINE)
    assert names in text
