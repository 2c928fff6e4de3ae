"""A cluster that answers `kubectl` from recorded objects: what the tests of `kubectl virtfn` run instead of kubectl.

It knows the paths of the API server as kubectl gives them to `get --raw`, and answers errors in kubectl's words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from virtfn_kubectl.cluster import Ran

RECORDED = Path(__file__).resolve().parents[1] / "unit/kubectl/recorded"
Body = dict[str, Any]


def recorded(name: str) -> Body:
    """Return a recorded fleet: policies, nodes, members, pods, events."""
    found: Body = json.loads((RECORDED / f"{name}.json").read_text())
    return found


@dataclass
class FakeCluster:
    """Answers like kubectl; `asked` has every path, `calls` every command line."""

    lists: dict[str, list[Any]] = field(default_factory=dict)
    """By path of a list, its objects."""
    answers: dict[str, str] = field(default_factory=dict)
    """By path, another answer, as text."""
    errors: dict[str, str] = field(default_factory=dict)
    """By path, the words with which kubectl ends with status 1."""
    namespace: str = ""
    may: str = "yes"
    """What `kubectl auth can-i` answers."""
    helm: Ran = field(default_factory=lambda: Ran(status=1, out="", err="Error: release: not found"))
    executed: Ran = field(default_factory=lambda: Ran(status=0, out="", err=""))
    lost: list[Ran] = field(default_factory=list)
    """What `kubectl exec` brings back before that."""
    patch_error: str = ""
    """The words with which `kubectl patch` ends with status 1."""
    calls: list[list[str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __call__(self, words: Sequence[str], seconds: float, given: str | None = None) -> Ran:
        self.calls.append(list(words))
        if words[0] == "helm":
            return self.helm
        verb = next(word for word in words[1:] if not word.startswith("-"))
        match verb:
            case "config":
                return Ran(status=0, out=self.namespace, err="")
            case "auth":
                return Ran(status=self.may != "yes", out=f"{self.may}\n", err="Warning: not namespace scoped\n")
            case "exec":
                return self.lost.pop(0) if self.lost else self.executed
            case "patch":
                return self._patch(words)
        return self._get(words[-1])

    def _patch(self, words: Sequence[str]) -> Ran:
        """Patch annotations of an object of virtfn.dev, as a merge patch does."""
        resource, name = [word for word in words[1:] if not word.startswith("-")][1:3]
        if self.patch_error:
            return Ran(status=1, out="", err=f"{self.patch_error}\n")
        bodies = self.lists.get(f"/apis/virtfn.dev/v1alpha1/{resource.partition('.')[0]}", [])
        found = next((body for body in bodies if body["metadata"]["name"] == name), None)
        if found is None:
            return Ran(status=1, out="", err=f'Error from server (NotFound): {resource} "{name}" not found\n')
        patch = json.loads(next(word for word in words if word.startswith("--patch=")).removeprefix("--patch="))
        annotations = {**found["metadata"].get("annotations", {}), **patch["metadata"]["annotations"]}
        found["metadata"]["annotations"] = {key: value for key, value in annotations.items() if value is not None}
        return Ran(status=0, out=json.dumps(found), err="")

    def _get(self, asked: str) -> Ran:
        self.asked.append(asked)
        parts = urlsplit(asked)
        path, query = parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}
        if path in self.errors:
            return Ran(status=1, out="", err=f"{self.errors[path]}\n")
        if path in self.answers:
            return Ran(status=0, out=self.answers[path], err="")
        if path in self.lists:
            return Ran(status=0, out=json.dumps(_page(self.lists[path], query)), err="")
        folder, _, name = path.rpartition("/")
        for body in self.lists.get(_everywhere(folder), ()):
            if body.get("metadata", {}).get("name") == name and _in_folder(body, folder):
                return Ran(status=0, out=json.dumps(body), err="")
        if path.startswith("/api/v1/namespaces/") and folder.count("/") == 4 and name in ("events", "pods"):
            return Ran(status=0, out=json.dumps(_page(self._below(path, name), query)), err="")
        return Ran(
            status=1, out="", err="Error from server (NotFound): the server could not find the requested resource\n"
        )

    def _below(self, path: str, name: str) -> list[Any]:
        return [body for body in self.lists.get(f"/api/v1/{name}", ()) if _in_folder(body, path)]


def _everywhere(folder: str) -> str:
    """The path of the list over all namespaces: `/api/v1/namespaces/a/pods` is part of `/api/v1/pods`."""
    parts = folder.split("/")
    return "/".join([*parts[:3], *parts[5:]]) if len(parts) > 5 and parts[3] == "namespaces" else folder


def _in_folder(body: Body, folder: str) -> bool:
    parts = folder.split("/")
    wanted = parts[4] if len(parts) > 4 and parts[3] == "namespaces" else None
    return wanted is None or body.get("metadata", {}).get("namespace", wanted) == wanted


def _page(bodies: list[Any], query: dict[str, str]) -> Body:
    start, limit = int(query.get("continue", 0)), int(query.get("limit", 500))
    chosen = [body for body in bodies if _selected(body, query)]
    after = {"continue": str(start + limit)} if start + limit < len(chosen) else {}
    return {"metadata": after, "items": chosen[start : start + limit]}


def _selected(body: Any, query: dict[str, str]) -> bool:
    if not isinstance(body, dict):
        return True
    labels = body.get("metadata", {}).get("labels", {}) if "labelSelector" in query else {}
    pairs = [part.split("=") for part in query.get("labelSelector", "").split(",") if part]
    fields = [re.split("(!?=)", part) for part in query.get("fieldSelector", "").split(",") if part]
    return all(labels.get(key) == value for key, value in pairs) and all(
        (_field(body, path) == value) is (sign == "=") for path, sign, value in fields if _field(body, path) is not None
    )


def _field(body: Body, path: str) -> Any:
    found: Any = body
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def cluster_of(fleet: Body, **more: Any) -> FakeCluster:
    """Return a cluster with a recorded fleet."""
    lists = {
        "/apis/virtfn.dev/v1alpha1/sriovpolicies": fleet.get("policies", []),
        "/apis/virtfn.dev/v1alpha1/sriovnodes": fleet.get("nodes", []),
        "/api/v1/nodes": fleet.get("members", []),
        "/api/v1/pods": fleet.get("pods", []),
        "/api/v1/events": fleet.get("events", []),
    }
    return FakeCluster(lists=lists, **more)


@dataclass(frozen=True)
class Answer:
    """What one run printed."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON of a run with --json."""
        return json.loads(self.out)


Ask = Callable[..., Answer]


def agent(name: str = "virtfn-agent-x", node: str = "node-1", phase: str = "Running", **metadata: Any) -> Any:
    """Return the agent's pod of a node."""
    labels = {"app.kubernetes.io/name": "virtfn", "app.kubernetes.io/component": "agent"}
    return {
        "metadata": {"name": name, "namespace": "virtfn-system", "labels": labels, **metadata},
        "spec": {"nodeName": node, "containers": [{"name": "agent"}, {"name": "host"}]},
        "status": {"phase": phase},
    }
