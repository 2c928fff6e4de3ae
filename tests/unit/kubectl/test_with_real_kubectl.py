"""The same answers by a real kubectl, over HTTP: paths, pages, selectors and errors are as the fake has them."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fake_cluster import Answer, FakeCluster, cluster_of, recorded

from virtfn_kubectl.verbs import run

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="THERE IS NO kubectl HERE, so only the fake one was asked")
STATUS = {"NotFound": 404, "Forbidden": 403, "ServiceUnavailable": 503}
Real = Callable[..., Answer]


@pytest.fixture
def server() -> Iterator[tuple[FakeCluster, str]]:
    """Serve what a fake cluster answers, as an API server does."""
    cluster = cluster_of(recorded("blocked"))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            done = cluster(["kubectl", "get", "--raw", self.path], 0)
            reason = re.search(r"\((\w+)\): (.*)", done.err)
            body, code = done.out, 200
            if done.status and reason:
                code = STATUS[reason[1]]
                told = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason[1]}
                body = json.dumps({**told, "message": reason[2], "code": code})
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield cluster, f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


@pytest.fixture
def real(server: tuple[FakeCluster, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Real:
    """Return a function that runs a command line with the real kubectl."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server[1]}}],
        "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "", "namespace": "team-a"}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))

    def asked(*words: str) -> Answer:
        status = run([*words, "--kubeconfig", str(path), "--context", "lab"], {})
        printed = capsys.readouterr()
        return Answer(status, printed.out, printed.err)

    return asked


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["status"], 3),
        (["why", "policy/fast"], 3),
        (["why", "pod/dpdk-1", "-n", "default"], 3),
        (["topology", "node-1"], 0),
        (["rollout", "status", "fast"], 3),
        (["nodes"], 3),
    ],
)
def test_an_answer_is_the_same(real: Real, ask: Callable[..., Answer], words: list[str], status: int) -> None:
    answer = real(*words, "--json")
    assert (answer.status, answer.err) == (status, "")
    assert answer.document == ask("blocked", *words, "--json").document


def test_pages_go_on_where_the_last_one_ended(real: Real, server: tuple[FakeCluster, str]) -> None:
    node = server[0].lists["/apis/virtfn.dev/v1alpha1/sriovnodes"][1]
    many = [{**node, "metadata": {**node["metadata"], "name": f"n-{number:04}"}} for number in range(1203)]
    server[0].lists["/apis/virtfn.dev/v1alpha1/sriovnodes"] = many
    assert [row["name"] for row in real("status", "--json").document["nodes"]] == [
        it["metadata"]["name"] for it in many
    ]


@pytest.mark.parametrize("reason", ["Forbidden", "ServiceUnavailable"])
def test_a_refusal_has_the_apis_word(real: Real, server: tuple[FakeCluster, str], reason: str) -> None:
    server[0].errors["/apis/virtfn.dev/v1alpha1/sriovpolicies"] = f"Error from server ({reason}): not now"
    answer = real("status", "--json")
    assert answer.status == 1
    assert answer.document["error"]["reason"] == reason


def test_a_cluster_without_virtfn_is_told(real: Real, server: tuple[FakeCluster, str]) -> None:
    server[0].lists.clear()
    answer = real("status")
    assert answer.status == 4
    assert "virtfn is not installed" in answer.err


def test_the_namespace_is_that_of_the_context(real: Real) -> None:
    answer = real("why", "pod/dpdk-1")
    assert answer.status == 4
    assert "there is no pod dpdk-1 in namespace team-a" in answer.err


def test_a_server_that_is_not_there_is_told(real: Real, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = json.loads((tmp_path / "kubeconfig").read_text())
    config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1"
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    answer = real("status")
    assert answer.status == 1
    assert "127.0.0.1:1" in answer.err
