"""Send requests to the API server with a stolen token and nothing else, without kubectl in between.

It knows tokens and HTTP; the expected answers are the caller's business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from virtfn_lab.cluster import Cluster

PROGRAM = "virtfn-lab-thief"
"""User-Agent of these requests, so that the audit log tells them from the processes' own."""

_ASK = """
import http.client, json, ssl, sys
asked = json.load(sys.stdin)
context = ssl.create_default_context(cafile=asked["ca"])
for one in asked["requests"]:
    connection = http.client.HTTPSConnection("127.0.0.1", 6443, timeout=30, context=context)
    body = None if one["body"] is None else json.dumps(one["body"])
    connection.request(one["method"], one["path"], body, one["headers"])
    answer = connection.getresponse()
    print(json.dumps([answer.status, answer.read().decode(errors="replace")]))
    connection.close()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request with one token."""

    method: str
    path: str
    token: str
    body: Any = None
    kind: str = "application/json"
    """Content type of the body."""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to one request."""

    status: int
    text: str

    @property
    def message(self) -> str:
        """The API server's message, if it answered with a Status."""
        try:
            found = json.loads(self.text)
        except ValueError:
            return self.text
        return str(found.get("message", "")) if isinstance(found, dict) and found.get("kind") == "Status" else ""


def ask(cluster: Cluster, requests: Sequence[Request]) -> list[Answer]:
    """Send the requests, return the answers in order; in one process, because starting one takes longer than asking."""
    asked = [
        {
            "method": one.method,
            "path": one.path,
            "body": one.body,
            "headers": {
                "User-Agent": PROGRAM,
                "Content-Type": one.kind,
                **({"Authorization": f"Bearer {one.token}"} if one.token else {}),
                **one.headers,
            },
        }
        for one in requests
    ]
    ca = str(cluster.folder / "pki/ca.crt")
    lines = cluster.python(_ASK, json.dumps({"ca": ca, "requests": asked})).splitlines()
    return [Answer(status=status, text=text) for status, text in map(json.loads, lines)]


def token(cluster: Cluster, namespace: str, account: str, pod: str = "") -> str:
    """Return a token of an account, as the kubelet asks for it: bound to a pod, or to none."""
    bound = ["--bound-object-kind=Pod", f"--bound-object-name={pod}"] if pod else []
    if pod:
        found: Any = cluster.get("pod", pod, "-n", namespace)
        bound.append(f"--bound-object-uid={found['metadata']['uid']}")
    return cluster.kubectl("create", "token", account, "-n", namespace, *bound).stdout.strip()
