"""The running containers as the kernel has them: no token where none belongs, no power where none is needed.

What the chart asks for is one thing; what a container really got is read in its own /proc.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from virtfn_lab.chart import TOKEN
from virtfn_lab.cluster import Cluster
from virtfn_lab.privileges import pod_of
from virtfn_lab.product import CHART, NAMESPACE, all_ready, settings

CONTAINERS = {"controller": "controller", "agent": "agent", "host": "agent", "deviceplugin": "deviceplugin"}
"""Container -> component whose pod it is in."""

END = "=====\n"
LOOK = "; ".join(
    f"{look} 2>/dev/null; printf '{END.strip()}\\n'"
    for look in ("cat /proc/1/status", "cat /proc/1/mounts", f"ls -A {TOKEN}", "ls -A /run/virtfn-host")
)
SECCOMP_FILTER = "2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What a container sees of itself."""

    status: dict[str, str]
    """Lines of /proc/1/status."""
    mounts: dict[str, tuple[str, frozenset[str]]]
    """Where -> file system and options."""
    token: list[str]
    socket: list[str]
    """What lies in the two folders; empty where there is no such folder."""


@pytest.fixture(scope="module", params=sorted(CONTAINERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def inside(cluster: Cluster, name: str) -> Inside:
    cluster.until("every pod of virtfn is ready", lambda: all_ready(cluster), 120)
    pod = pod_of(cluster, CONTAINERS[name])
    text = cluster.shown("-n", NAMESPACE, pod, "-c", name, "--", "sh", "-c", LOOK)
    status, mounts, token, socket = text.split(END)[:4]
    fields = [line.split() for line in mounts.splitlines()]
    return Inside(
        status={word: rest.strip() for word, _, rest in (line.partition(":") for line in status.splitlines())},
        mounts={field[1]: (field[2], frozenset(field[3].split(","))) for field in fields},
        token=token.split(),
        socket=socket.split(),
    )


def test_a_token_is_where_it_is_needed_and_nowhere_else(name: str, inside: Inside) -> None:
    mounted = [where for where in inside.mounts if "secrets" in where or "serviceaccount" in where]
    assert bool(mounted) is (name in ("agent", "controller"))
    assert ("token" in inside.token) is (name in ("agent", "controller"))


def test_only_the_host_has_power(name: str, inside: Inside) -> None:
    powers = int(inside.status["CapEff"], 16) | int(inside.status["CapPrm"], 16) | int(inside.status["CapBnd"], 16)
    if name == "host":
        assert powers
        return
    assert powers == 0
    assert inside.status["NoNewPrivs"] == "1"
    assert inside.status["Seccomp"] == SECCOMP_FILTER


@pytest.mark.kubernetes(31, "before, mounts below one that is read-only stay as they are")
def test_nothing_but_what_a_process_writes_is_writable(name: str, inside: Inside) -> None:
    """Of the node's own file systems, with what is mounted below them; the root of every container is read-only."""
    assert "ro" in inside.mounts["/"][1]
    writable = {where for where, (_, options) in inside.mounts.items() if "rw" in options}
    of_the_node = {where for where in writable if where.startswith(NODES_OWN)}
    assert {"/sys" if where.startswith("/sys/") else where for where in of_the_node} == WRITTEN[name]


NODES_OWN = ("/run/virtfn", "/run/k8s.cni.cncf.io", "/var/lib", "/sys", "/host", "/lib")
WRITTEN = {
    "controller": set[str](),
    "agent": {"/run/virtfn"},
    "host": {"/run/virtfn-host", "/var/lib/virtfn", "/sys"},
    "deviceplugin": {
        "/run/virtfn-ledger",
        "/run/k8s.cni.cncf.io/devinfo/dp",
        "/var/lib/virtfn-grants",
        "/var/lib/kubelet/device-plugins",
    },
}


def test_the_socket_is_alone_and_in_the_agents_pod_only(name: str, inside: Inside) -> None:
    found = inside.mounts.get("/run/virtfn-host")
    assert (found is not None) is (name in ("agent", "host"))
    if found is None:
        return
    kind, options = found
    assert kind == "tmpfs"
    assert "size=1024k" in options, options
    assert ("ro" in options) is (name == "agent")
    assert inside.socket == ["host.sock"]


def test_the_controller_would_be_let_in_where_pod_security_is_restricted(cluster: Cluster) -> None:
    """And what has the node's paths or is privileged would not: the API server says which and why."""
    rendered = cluster.helm("template", "virtfn", str(CHART), "--namespace", NAMESPACE, *settings()).stdout
    label = "pod-security.kubernetes.io/warn"
    cluster.kubectl("label", "namespace", NAMESPACE, f"{label}=restricted")
    try:
        warned = cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=rendered).stderr
    finally:
        cluster.kubectl("label", "namespace", NAMESPACE, f"{label}-")
    lines = [line for line in warned.splitlines() if "would violate PodSecurity" in line]
    assert len(lines) == 3, warned  # the third one cleans the nodes after an uninstallation
    assert any("privileged" in line and '"host"' in line for line in lines)
    assert all("hostPath" in line for line in lines)


def test_with_the_labels_of_the_notes_nobody_is_warned(cluster: Cluster) -> None:
    notes = cluster.helm("get", "notes", "virtfn", "-n", NAMESPACE).stdout
    (command,) = [line for line in notes.splitlines() if "kubectl label namespace" in line]
    labels = [word for word in command.split() if "=" in word]
    assert {label.partition("=")[2] for label in labels} == {"privileged"}
    found: Any = json.loads(
        cluster.kubectl("label", "namespace", NAMESPACE, *labels, "--dry-run=server", "-o", "json").stdout
    )
    assert set(labels) <= {f"{word}={value}" for word, value in found["metadata"]["labels"].items()}
