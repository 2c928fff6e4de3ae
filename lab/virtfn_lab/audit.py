"""The API server's audit log of requests by virtfn's service accounts: the audit policy, and a reader of the log.

The log has metadata only, one line a request, and no requests of Kubernetes' own, so it costs next to nothing. What the
requests mean is the test's business.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LOG = "audit.log"
"""Name of the log in the cluster's folder."""

POLICY = "audit-policy.yaml"

_NODE = "authentication.kubernetes.io/node-name"
_USER = "system:serviceaccount:"


def policy() -> str:
    """Return the API server's audit policy: log account, request and the answer's status. JSON is YAML."""
    own = {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]}
    noted = {"level": "Metadata", "userGroups": ["system:serviceaccounts"], "omitStages": ["RequestReceived"]}
    document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [own, noted, {"level": "None"}]}
    return json.dumps(document)


def options(folder: Path) -> list[str]:
    """Write the policy into `folder`; return the API server's options for it."""
    (folder / POLICY).write_text(policy())
    # The log must not rotate within a run: a test compares all requests, from the first on.
    return [
        f"--audit-policy-file={folder / POLICY}",
        f"--audit-log-path={folder / LOG}",
        "--audit-log-maxsize=4000",
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request and its answer."""

    account: str
    """Namespace and name of the service account, with a colon between."""
    node: str
    """The node of the pod that the token is bound to; empty for a token without a pod."""
    verb: str
    group: str
    resource: str
    """Resource, then its subresource after a slash; empty for paths without objects (discovery, health)."""
    namespace: str
    name: str
    """The object's name, also of a list or watch of one name; empty for a list of all and for a create."""
    path: str
    status: int
    """HTTP status of the answer; 0 without an answer."""
    program: str
    """The client's User-Agent."""
    time: str
    """Time of the request: RFC 3339, microseconds, UTC; can be compared as text."""

    def __str__(self) -> str:
        return f"{self.account}: {self.verb} {self.path} -> {self.status}"


def calls(folder: Path) -> Iterator[Call]:
    """Yield every request so far, in the order of the log; an unfinished last line is left for the next call."""
    with (folder / LOG).open() as log:
        for line in log:
            if line.endswith("\n"):
                yield _call(json.loads(line))


def _call(event: dict[str, object]) -> Call:
    found = event.get("objectRef")
    where: dict[str, str] = found if isinstance(found, dict) else {}
    user = event["user"]
    status = event.get("responseStatus")
    assert isinstance(user, dict)
    part = f"/{where['subresource']}" if where.get("subresource") else ""
    return Call(
        account=str(user["username"]).removeprefix(_USER),
        node=(user.get("extra") or {}).get(_NODE, [""])[0],
        verb=str(event["verb"]),
        group=where.get("apiGroup", ""),
        resource=where.get("resource", "") + part,
        namespace=where.get("namespace", ""),
        name=where.get("name", ""),
        path=str(event["requestURI"]).partition("?")[0],
        status=int(status.get("code", 0)) if isinstance(status, dict) else 0,
        program=str(event.get("userAgent", "")),
        time=str(event["requestReceivedTimestamp"]),
    )
