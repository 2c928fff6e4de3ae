"""Run tests/cluster/failing_plugin.py on the node: a pod of the device plugin's image with this script."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from virtfn_lab.kubelet_cases import POD
from virtfn_lab.node import Node
from virtfn_lab.paths import repository
from virtfn_lab.script_pod import FOLDER, script_pod

SCRIPT = repository() / "tests/cluster/failing_plugin.py"


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
    node.apply(*script_pod(name, SCRIPT, way, found.resource))
    node.until(f"{name} is registered or refused", lambda: any(map(_is_answer, found.said())), POD)
    yield found
    node.cluster.kubectl("delete", "pod,configmap", name)
    node.shell(f"rm -f {FOLDER}/{name}.sock")


def _is_answer(line: str) -> bool:
    return line == "registered" or line.startswith("refused: ")
