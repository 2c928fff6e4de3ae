"""Send thousands of requests to the lab's API server, as administrator, on a few connections.

kubectl would need a process for each. `python -m virtfn_lab.bulk` is the end inside the lab's network; it reads
requests from a file and prints the answers.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import Any

from virtfn_lab.cluster import Cluster, LabError
from virtfn_lab.paths import repository

CONNECTIONS = 4
TIMEOUT = 60.0
"""Seconds to wait for one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; its body is sent unchanged, however odd."""

    method: str
    path: str
    body: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The API server's answer to one request."""

    status: int
    name: str
    """Name of the object in the answer; empty without an object."""
    message: str
    """Why the request was refused."""


def send(cluster: Cluster, requests: Iterable[Request]) -> list[Answer]:
    """Send all requests, several at once and in any order; return the answers in the order of the requests.

    Raises:
        LabError: the API server did not answer.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([[one.method, one.path, one.body] for one in requests], file)
        file.flush()
        program = (
            f"import sys; sys.path.insert(0, {str(repository() / 'lab')!r}); import virtfn_lab.bulk as b; b.main()"
        )
        started = cluster.start([sys.executable, "-c", program, file.name, str(cluster.folder / "pki")])
        output, _ = started.communicate()
    if started.returncode != 0:
        raise LabError(f"the API server did not answer every request: exit {started.returncode}")
    return [Answer(status=status, name=name, message=message) for status, name, message in json.loads(output)]


class _Sender:
    """One connection for each thread."""

    def __init__(self, pki: Path) -> None:
        self._tls = ssl.create_default_context(cafile=pki / "ca.crt")
        self._tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._mine = local()

    def send(self, request: Sequence[Any]) -> tuple[int, str, str]:
        method, path, body = request
        if not hasattr(self._mine, "connection"):
            self._mine.connection = http.client.HTTPSConnection("127.0.0.1", 6443, timeout=TIMEOUT, context=self._tls)
        connection: http.client.HTTPSConnection = self._mine.connection
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": kind})
        answer = connection.getresponse()
        found: Any = json.loads(answer.read())
        refused = answer.status >= http.HTTPStatus.BAD_REQUEST
        name = "" if refused else str((found.get("metadata") or {}).get("name", ""))
        return answer.status, name, str(found.get("message", "")) if refused else ""


def main() -> None:
    """Entry point inside the lab's network: takes the file of requests and the folder of certificates."""
    requests, sender = json.loads(Path(sys.argv[1]).read_text()), _Sender(Path(sys.argv[2]))
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        print(json.dumps(list(pool.map(sender.send, requests))))
