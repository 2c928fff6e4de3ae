"""Upgrade the chart under pods that come and go, and measure for how long the kubelet had no device plugin.

One round is a test of `make conformance`, many are a proof in `make prove`. What changes is a CPU request of the device
plugin, so each upgrade replaces its pod and no other.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from virtfn_lab.cluster import LabError
from virtfn_lab.containers import PLUGIN, log, running
from virtfn_lab.kubelet_restarts import RESOURCES, refusals, said
from virtfn_lab.load import Load
from virtfn_lab.node import LEFT, Node, policy
from virtfn_lab.product import CHART, NAMESPACE, settings
from virtfn_lab.stand import offered, stand

REPLACED = 180.0
"""Seconds for one upgrade on an emulated node."""

_KUBELET_LOG = "/run/kubelet.log"
_EVENT = re.compile(
    r"[IE](?P<at>\d{4} [\d:.]+) .*\"(?P<what>ListAndWatch ended|Got registration request)[^\"]*\"(?P<rest>.*)"
)
"""Two lines of the kubelet (klog): a plugin's stream ended; a plugin wants to register."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded:
    """The result of one upgrade."""

    overlapping: bool
    """Whether the new plugin was there before the old one ended."""
    without: float
    """Seconds for which the kubelet had no plugin for a resource, the longest, by its log."""
    at_zero: float
    """Seconds for which the Node said that none is allocatable, as a watch saw it."""
    answered: int
    """Requests of pods that the new plugin answered."""
    refused: int
    """Pods that the kubelet refused."""
    steps: str
    """What took the time, if there was a gap."""

    def __str__(self) -> str:
        how = "overlapping" if self.overlapping else "one after the other"
        told = f"{how}: {self.without:.2f} s without a plugin, {self.at_zero:.1f} s with allocatable 0"
        return f"{told}; {self.answered} Allocates answered by the new one, {self.refused} pods refused{self.steps}"


OLDER = (
    "devicePlugin.updateStrategy.type=RollingUpdate",
    "devicePlugin.updateStrategy.rollingUpdate.maxUnavailable=1",
    "devicePlugin.updateStrategy.rollingUpdate.maxSurge=0",
)
"""Values of the chart that upgrade as where kubelets are older than 1.37."""


def upgrades(node: Node, number: int, *values: str) -> Iterator[Upgraded]:
    """Upgrade again and again, with these values of the chart, while a pod holds a VF and others come and go.

    Raises:
        LabError: a list did not come back, the VF in use was touched, or the kubelet was without a plugin although the
            two overlap.
    """
    with stand(node) as stood:
        node.apply(policy("left", 7, LEFT))
        stood.carried_out(7)
        with Load(node, "left", (), RESOURCES[0]):
            for _ in range(number):
                yield _upgrade(node, values)
                stood.intact()
        stood.carried_out(7)


def _upgrade(node: Node, values: Sequence[str]) -> Upgraded:
    old, request = node.container(PLUGIN), "11m" if _daemon_set(node)[0] == "10m" else "10m"
    lines, before = _length(node), _refused(node)
    with allocatable_zero(node, RESOURCES[0]) as zero:
        chosen = settings(f"devicePlugin.resources.requests.cpu={request}", *values)
        node.cluster.helm("upgrade", "virtfn", str(CHART), "--namespace", NAMESPACE, *chosen)
        node.until("the plugin is another one, and alone", lambda: _is_replaced(node, old.id), REPLACED)
        node.until("the node offers both", lambda: all(offered(node)), REPLACED)
    refused = {pod: text for pod, text in _refused(node).items() if pod not in before}
    new, (_, overlapping) = node.container(PLUGIN), _daemon_set(node)
    without = longest_gap(node.shell(f"tail -n +{lines + 1} {_KUBELET_LOG}").splitlines())
    found = Upgraded(
        overlapping=overlapping,
        without=without,
        at_zero=zero.seconds,
        answered=sum(line.endswith(" handed out") for line in log(node.cluster, new)),
        refused=len(refused),
        steps="" if overlapping else f"; {_steps(node, old.pod)}; the kubelet said {sorted(set(refused.values()))}",
    )
    if overlapping and (found.without or found.at_zero or found.refused):
        raise LabError(f"two plugins overlap, and: {found}")
    return found


def _daemon_set(node: Node) -> tuple[str, bool]:
    """Return the CPU that the plugin requests, and whether the new plugin is started before the old one ends."""
    found: Any = node.cluster.get("ds", "virtfn-deviceplugin", "-n", NAMESPACE)
    (container,) = found["spec"]["template"]["spec"]["containers"]
    surge = found["spec"]["updateStrategy"]["rollingUpdate"].get("maxSurge", 0)
    return container["resources"]["requests"]["cpu"], surge not in (0, "0%")


def _is_replaced(node: Node, old: str) -> bool:
    found = running(node.cluster, PLUGIN)
    return found is not None and found.id != old and found.ready and _pods(node) == 1


def _pods(node: Node) -> int:
    found: Any = node.cluster.get("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=deviceplugin")
    return len(found["items"])


def _refused(node: Node) -> dict[str, str]:
    return {**refusals(node), **refusals(node, f"OutOf{RESOURCES[0]}")}


def _length(node: Node) -> int:
    return int(node.shell(f"wc -l < {_KUBELET_LOG}"))


def longest_gap(lines: Sequence[str]) -> float:
    """Return the longest time, in the kubelet's log, from the end of a resource's last stream to the next registration.

    At the beginning each resource has one stream.
    """
    streams = dict.fromkeys(RESOURCES, 1)
    ended: dict[str, float] = {}
    longest = 0.0
    for match in filter(None, map(_EVENT.match, lines)):
        name = next((name for name in RESOURCES if f'"{name}"' in match["rest"]), None)
        if name is None:
            continue
        at = datetime.strptime(f"2000{match['at']}", "%Y%m%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()
        streams[name] += 1 if match["what"].startswith("Got") else -1
        if match["what"].startswith("Got") and name in ended:
            longest = max(longest, at - ended.pop(name))
        elif streams[name] == 0:
            ended[name] = at
    if ended:
        raise LabError(f"not registered again: {sorted(ended)}")
    return longest


class Zero:
    """For how long a resource was seen as 0."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since: float | None = None

    def see(self, value: str, now: float) -> None:
        """Note a value that was seen at this time."""
        if self._since is not None:
            self.seconds += now - self._since
        self._since = now if value in ("", "0") else None


@contextmanager
def allocatable_zero(node: Node, resource: str) -> Iterator[Zero]:
    """Measure within this context for how long a watch sees 0 of a resource allocatable."""
    path = "{.status.allocatable." + resource.replace(".", "\\.") + "}{'\\n'}"
    words = ["get", "node", "node-1", "--watch", "-o", f"jsonpath={path}"]
    watching = node.cluster.start([f"{node.cluster.tools}/kubectl", *words])
    zero, output = Zero(), watching.stdout
    assert output is not None

    def follow() -> None:
        for line in output:
            zero.see(line.strip(), time.monotonic())

    thread = threading.Thread(target=follow, name="allocatable")
    thread.start()
    try:
        yield zero
    finally:
        watching.terminate()
        thread.join()
        output.close()
        watching.wait()


def _steps(node: Node, old: str) -> str:
    """Return what the time went to, by the cluster's and the node's clocks."""
    words = ("-n", NAMESPACE, "--field-selector", f"reason=Killing,involvedObject.name={old}")
    events: Any = node.cluster.get("events", *words)["items"]
    told = min((_seconds(event["firstTimestamp"]) for event in events), default=None)
    found: Any = node.cluster.get("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=deviceplugin")
    (pod,) = found["items"]
    (container,) = pod["status"]["containerStatuses"]
    created = _seconds(pod["metadata"]["creationTimestamp"])
    started = _seconds(container["state"]["running"]["startedAt"])
    began = said(log(node.cluster, node.container(PLUGIN))).began
    registered = max((times[0] for times in began.values()), default=started)
    ended = "" if told is None else f"{created - told:.0f} s from the old pod's end to the new pod, "
    return f"{ended}{started - created:.0f} s until its container ran, {registered - started:.1f} s until it registered"


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
