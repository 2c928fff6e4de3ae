"""The verb report: reads what a report has, and writes its files into a tar.gz that only its owner may read."""

import argparse
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from virtfn_kubectl.asked import MEMBERS_PATH, OURS, pods_in, pods_path
from virtfn_kubectl.bundle.redacted import Collected, redacted
from virtfn_kubectl.cluster import NODES_PATH, POLICIES_PATH, AskError, Cluster, parsed
from virtfn_kubectl.judge.overview import overview
from virtfn_kubectl.read.fleet import read_each
from virtfn_kubectl.read.members import PodSeen, read_pod
from virtfn_kubectl.read.whole import read_fleet
from virtfn_kubectl.screen import Screen
from virtfn_kubectl.statuses import DONE, NOTHING_MATCHES
from virtfn_kubectl.tell.overview_text import overview_text
from virtfn_operator.api import API_VERSION
from virtfn_operator.api.foreign import mapping, text

PODS, LINES, BYTES = 40, 2000, 256 * 1024
"""Pods whose logs are read, and the last lines and bytes of each."""

READ_ME = """\
A report of `kubectl virtfn report`, for people who help.

Names of nodes, namespaces, pods, their owners and budgets, policies and resources are replaced, each by the same word
everywhere. Of each object only fields that are known to be harmless are here. Tokens, passwords, users and their home
folders, hosts in URLs and in errors of connections, names of a kubeconfig, addresses of networks, MACs, GUIDs, serial
numbers and UUIDs are taken out. A program cannot know every secret: read it before you pass it on.

status.txt      what `kubectl virtfn status` printed
policies.json   SriovPolicies
nodes.json      SriovNodes
members.json    Nodes: versions and conditions only
pods.json       pods of virtfn
workloads.json  its DaemonSets and Deployments
events.json     events of virtfn's objects and pods
values.json     Helm's values
logs/           the last lines of each container's log
"""


class _Reader:
    """Reads part by part; what is refused is noted, and the report goes on."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.missing: list[str] = []

    def items(self, path: str, **query: str | int) -> list[Any]:
        return self.cluster.items_or_none(path, self.missing.append, **query) or []

    def pods(self, namespace: str | None) -> list[Any]:
        try:
            return self.items(pods_path(self.cluster, namespace), labelSelector=OURS)
        except AskError as error:
            self.missing.append(str(error))
            return []

    def text(self, ask: Callable[[], str]) -> str:
        try:
            return ask()
        except AskError as error:
            self.missing.append(str(error))
            return ""


def show_report(options: argparse.Namespace, cluster: Cluster, screen: Screen) -> int:
    """Write the report, and print what is in it."""
    reader = _Reader(cluster)
    found = _collected(reader, options.namespace, screen)
    if not found.policies and not found.nodes and not found.pods:
        screen.failed("there is nothing of virtfn in this cluster, or nothing of it may be read")
        for line in reader.missing:
            screen.complain(f"left out: {line}")
        return NOTHING_MATCHES
    files = redacted(found)
    write(options.output, files, int(screen.now.timestamp()))
    for line in reader.missing:
        screen.complain(f"left out: {line}")
    screen.document({"file": str(options.output), "files": sorted(files), "leftOut": reader.missing})
    screen.say(f"wrote {options.output}: {len(files)} files. Read it before you pass it on.")
    return DONE


def _collected(reader: _Reader, namespace: str | None, screen: Screen) -> Collected:
    policies, nodes = reader.items(POLICIES_PATH), reader.items(NODES_PATH)
    pods = reader.pods(namespace)
    seen, _ = read_each(pods, "Pod", read_pod)
    own = namespace or next((pod.namespace for pod in seen), "")
    where = f"/namespaces/{own}" if own else ""
    workloads = [it for kind in ("daemonsets", "deployments") for it in _workloads(reader, where, kind)]
    fleet = read_fleet(policies, nodes)
    logs = dict(_logs(reader, _first(seen)))
    if len(seen) > PODS:
        reader.missing.append(f"the logs of {len(seen) - PODS} more pods")
    events = [it for place in _places(seen, namespace) for it in reader.items(f"/api/v1/namespaces/{place}/events")]
    values = _values(reader, pods)
    return Collected(
        policies=policies,
        nodes=nodes,
        members=reader.items(MEMBERS_PATH),
        pods=pods,
        workloads=workloads,
        events=[it for it in events if _is_ours(it, {pod.words for pod in seen})],
        values=values,
        logs=logs,
        versions=_versions(reader),
        texts={"README.txt": READ_ME, "status.txt": _status(fleet, screen), "left-out.txt": _lines(reader.missing)},
    )


def _workloads(reader: _Reader, where: str, kind: str) -> list[Any]:
    return reader.items(f"/apis/apps/v1{where}/{kind}", labelSelector=OURS)


def _status(fleet: Any, screen: Screen) -> str:
    return overview_text(overview(fleet), screen.now) + "\n"


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _first(pods: Sequence[PodSeen]) -> list[PodSeen]:
    """Return the pods whose logs are read: the controllers, then those that do not run, then the others."""
    return sorted(pods, key=lambda it: (it.component != "controller", it.phase == "Running", it.name))[:PODS]


def _places(pods: Sequence[PodSeen], namespace: str | None) -> list[str]:
    """Return the namespaces whose events are read; those of cluster-wide objects are in `default`."""
    return sorted({"default", *(pod.namespace for pod in pods), *([namespace] if namespace else [])})


def _is_ours(event: object, pods: set[str]) -> bool:
    about = mapping(mapping(event).get("involvedObject"))
    return about.get("apiVersion") == API_VERSION or (
        about.get("kind") == "Pod" and f"{about.get('namespace')}/{about.get('name')}" in pods
    )


def _logs(reader: _Reader, pods: Sequence[PodSeen]) -> Iterator[tuple[tuple[str, str], str]]:
    for pod in pods:
        for container in pod.containers:
            path = f"{pods_in(pod.namespace)}/{pod.name}/log"
            yield (pod.name, container), reader.text(partial(_log, reader.cluster, path, container))


def _log(cluster: Cluster, path: str, container: str) -> str:
    return cluster.text(path, container=container, tailLines=LINES, limitBytes=BYTES, timestamps="true")


def _versions(reader: _Reader) -> Mapping[str, str]:
    try:
        own = version("virtfn")
    except PackageNotFoundError:
        own = ""
    server = reader.text(lambda: text(mapping(reader.cluster.get("/version")).get("gitVersion"), 64))
    return {"kubectl-virtfn": own, "apiServer": server}


def _values(reader: _Reader, pods: Sequence[Any]) -> Any:
    """Return Helm's values of the release that the pods are of; None without helm."""
    for body in pods:
        metadata = mapping(mapping(body).get("metadata"))
        release = text(mapping(metadata.get("labels")).get("app.kubernetes.io/instance"), 64)
        if release:
            namespace = text(metadata.get("namespace"), 253)
            told = reader.text(partial(reader.cluster.helm_values, namespace, release))
            return parsed(told) if told else None
    return None


def write(path: Path, files: Mapping[str, str], time: int) -> None:
    """Write files into a tar.gz.

    Raises:
        OSError: it cannot be written.
    """
    folder = path.name.split(".")[0]
    mode = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with os.fdopen(os.open(path, mode, 0o600), "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as bundle:
        os.fchmod(raw.fileno(), 0o600)  # the file may have been there
        for name, content in sorted(files.items()):
            data = content.encode("utf-8", "replace")
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime, entry.mode = len(data), time, 0o600
            bundle.addfile(entry, io.BytesIO(data))
