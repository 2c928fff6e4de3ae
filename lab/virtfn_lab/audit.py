"""What the API server noted of the service accounts' requests: the policy it notes by, and its log read.

Metadata only, one line a request, and none of Kubernetes' own: it costs next to nothing. Knows nothing of what a test
makes of it.
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
    """The API server's audit policy: which service account, what, which answer. JSON is YAML."""
    own = {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]}
    noted = {"level": "Metadata", "userGroups": ["system:serviceaccounts"], "omitStages": ["RequestReceived"]}
    document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [own, noted, {"level": "None"}]}
    return json.dumps(document)


def options(folder: Path) -> list[str]:
    """Write the policy into `folder`; what the API server is to be started with."""
    (folder / POLICY).write_text(policy())
    # Never turned over within a run: who compares must see the first request, too.
    return [
        f"--audit-policy-file={folder / POLICY}",
        f"--audit-log-path={folder / LOG}",
        "--audit-log-maxsize=4000",
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, answered."""

    account: str
    """Namespace and name of the service account, with a colon between."""
    node: str
    """The node of the pod that its token is bound to; empty where it is bound to none."""
    verb: str
    group: str
    resource: str
    """With its subresource after a slash; empty where the path is no object's (discovery, health)."""
    namespace: str
    name: str
    """Also of a list or watch of one name; empty for one of all, and for what is being created."""
    path: str
    status: int
    """HTTP status of the answer; 0 when there was none."""
    program: str
    """What the client calls itself."""
    time: str
    """RFC 3339, microseconds, UTC: compares as text."""

    def __str__(self) -> str:
        return f"{self.account}: {self.verb} {self.path} -> {self.status}"


def calls(folder: Path) -> Iterator[Call]:
    """Every request so far, in the order of the log; a line that is being written is left for the next time."""
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
