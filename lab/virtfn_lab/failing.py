"""Run tests/cluster/failing_plugin.py on the node: a pod of the device plugin's image with this script."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from virtfn_lab.images import REGISTRY, TAG
from virtfn_lab.kubelet_cases import POD
from virtfn_lab.node import Node
from virtfn_lab.paths import repository

SCRIPT = repository() / "tests/cluster/failing_plugin.py"
FOLDER = "/var/lib/kubelet/device-plugins"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingPlugin:
    """One that runs."""

    node: Node
    pod: str
    resource: str

    def said(self) -> list[str]:
        """Return what it printed."""
        return self.node.log(self.pod).splitlines()

    def calls(self) -> list[str]:
        """Return the kubelet's calls so far."""
        return [line.removeprefix("called ") for line in self.said() if line.startswith("called ")]

    def fail(self) -> None:
        """Let ListAndWatch fail now."""
        self.node.shell(f"kill -USR1 $(pgrep -f '[f]ailing_plugin.py .*{self.resource}')")


@contextmanager
def failing_plugin(node: Node, way: str) -> Iterator[FailingPlugin]:
    """Run one that fails in this way, with a resource name of its own, until it is registered or refused."""
    name = f"failing-{way}"
    found = FailingPlugin(node=node, pod=name, resource=f"test.virtfn.dev/{way}-{uuid.uuid4().hex[:8]}")
    node.apply(_script(name), _pod(name, way, found.resource))
    node.until(f"{name} is registered or refused", lambda: any(map(_is_answer, found.said())), POD)
    yield found
    node.cluster.kubectl("delete", "pod,configmap", name)
    node.shell(f"rm -f {FOLDER}/{name}.sock")


def _is_answer(line: str) -> bool:
    return line == "registered" or line.startswith("refused: ")


def _script(name: str) -> str:
    data = {SCRIPT.name: SCRIPT.read_text()}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


def _pod(name: str, way: str, resource: str) -> str:
    container = {
        "name": "plugin",
        "image": f"{REGISTRY}/deviceplugin:{TAG}",
        "imagePullPolicy": "Never",
        "command": ["/opt/virtfn/bin/python3", f"/script/{SCRIPT.name}", way, resource],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [
            {"name": "script", "mountPath": "/script"},
            {"name": "device-plugins", "mountPath": FOLDER},
        ],
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [
            {"name": "script", "configMap": {"name": name}},
            {"name": "device-plugins", "hostPath": {"path": FOLDER, "type": "Directory"}},
        ],
    }
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
