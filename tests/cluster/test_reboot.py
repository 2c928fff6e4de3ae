"""A node is rebooted with three pods that hold VFs, and PFs whose VFs were made in another order before.

VIRTFN_LONG=1 reboots ten times with the boot unit and three times without, else once. How many pods the kubelet refuses
at its start is printed and not judged: it admits pods before the device plugin, a pod itself, has registered
(docs/decisions/0027, "Given up").
"""

from __future__ import annotations

import json
import os
from collections.abc import Set
from functools import partial
from typing import Any

import pytest

from virtfn_lab.cluster import LabError
from virtfn_lab.node import LEFT, RIGHT, Node, policy
from virtfn_lab.product import CHART, NAMESPACE, RESOURCE, allocatable, pod, settings
from virtfn_lab.progress import say
from virtfn_lab.reboot import reboot

REBOOTS = [(True, 10), (False, 3)] if os.environ.get("VIRTFN_LONG") else [(True, 1)]
"""With the boot unit or without it, and how often."""

PODS, VFS = 3, 3
BARE = tuple(f"bare-{number}" for number in range(PODS))
"""Pods without an owner: the kubelet starts their old containers again where it admits them."""
UNIT = "/etc/systemd/system/multi-user.target.wants/virtfn-boot.service"


@pytest.fixture(scope="module")
def rebooting(another_node: Node) -> Node:
    """A node with VFs of both PFs, those of the second made first, and a Deployment and bare pods with a VF each."""
    node = another_node
    for name, address in (("right", RIGHT), ("left", LEFT)):
        pools = {"count": VFS, "pools": [{"resourceName": "fast"}]}
        node.apply(policy(name, address=address, virtualFunctions=pools))
        node.converged()
    node.apply(_deployment())
    for name in BARE:
        body = json.loads(pod(name))
        body["spec"]["restartPolicy"] = "Always"
        node.apply(json.dumps(body))
        node.holds(name)
    node.until("the pods have their VFs", lambda: len(_running(node)) == PODS)
    return node


def _deployment() -> str:
    template = json.loads(pod("held"))["spec"] | {"restartPolicy": "Always"}
    labels = {"app": "held"}
    spec = {
        "replicas": PODS,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": template},
    }
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "held"}, "spec": spec})


def _pods(node: Node) -> list[Any]:
    found: Any = node.cluster.get("pods", "-l", "app=held")
    return list(found["items"])


def _containers(node: Node) -> set[str]:
    """Return the ids of the pods' containers."""
    return {status.get("containerID", "") for one in _pods(node) for status in one["status"]["containerStatuses"]}


def _running(node: Node, former: Set[str] = frozenset()) -> list[str]:
    """Names of the pods whose container runs, is none of the former ones, and has opened its VF.

    For a while after a reboot the API server still has the statuses from before it.
    """
    names = []
    for one in _pods(node):
        statuses = one["status"].get("containerStatuses", [])
        name = one["metadata"]["name"]
        new = all("running" in status["state"] and status["containerID"] not in former for status in statuses)
        if statuses and new and "opened /dev/vfio/" in node.log(name):
            names.append(name)
    return names


def _expect_own_functions(node: Node, former: Set[str]) -> None:
    """Check that every container that runs opened the group of its own function, and that no two have the same."""
    seen = set()
    for name in _running(node, former):
        log = node.log(name).splitlines()
        (address,) = [line.partition("=")[2] for line in log if line.startswith("PCI_RESOURCE_")]
        (opened,) = [line.partition("/dev/vfio/")[2] for line in log if line.startswith("opened /dev/vfio/")]
        group = node.shell(f"basename $(readlink /sys/bus/pci/devices/{address}/iommu_group)").strip()
        assert opened == group, f"{name} has {address}, which is behind group {group}, and opened {opened}"
        seen.add(address)
    assert len(seen) == PODS


def _expect_reasons(node: Node) -> int:
    """Check that every pod that does not run says why; return the number of those that the kubelet refused."""
    refused = 0
    for one in _pods(node):
        status = one["status"]
        if status["phase"] == "Failed":
            assert status.get("reason") == "UnexpectedAdmissionError", status
            assert RESOURCE in status.get("message", ""), status
            refused += 1
    return refused


def _are_back(node: Node, former: Set[str]) -> bool:
    return len(_running(node, former)) == PODS


@pytest.mark.parametrize(("unit", "rounds"), REBOOTS)
def test_every_container_that_starts_has_its_own_function(
    rebooting: Node, root_dir: str, unit: bool, rounds: int
) -> None:
    node, cluster = rebooting, rebooting.cluster
    values = settings(f"bootUnit.enabled={str(unit).lower()}", f"kubelet.rootDir={root_dir}")
    cluster.helm("upgrade", "virtfn", str(CHART), "--namespace", NAMESPACE, *values)
    refused = []
    for _ in range(rounds):
        if unit:
            # Each boot takes the arming back; the unit's pod gives it again.
            node.until("the unit is armed", lambda: _is_there(node, "/var/lib/virtfn-boot/armed"), 120)
            assert _is_there(node, UNIT)
        node.converged()
        former = _containers(node)
        took = reboot(cluster)
        more = node.until("three pods have VFs again", partial(_are_back, node, former), 240)
        _expect_own_functions(node, former)
        refused.append(_expect_reasons(node))
        say(f"Ready after {took:.0f} s, pods with VFs {more:.0f} s later; the kubelet refused {refused[-1]} pods")
        cluster.kubectl("delete", "pods", "-l", "app=held", "--field-selector=status.phase=Failed")
        if unit:
            made = node.shell("cat /run/virtfn-boot.log").splitlines()
            assert made == [f"{pf}: {VFS} VFs made again" for pf in (LEFT, RIGHT)]
        node.until("all are offered", lambda: allocatable(cluster) == 2 * VFS)
    node.converged()
    say(f"boot unit {unit}: pods that the kubelet refused in {rounds} reboots: {refused}")


def test_a_container_that_would_get_another_function_is_refused_with_the_reason(rebooting: Node) -> None:
    rebooting.until("every pod runs or says why not", lambda: all(_told(rebooting, name) for name in BARE), 240)
    rebooting.cluster.kubectl("delete", "pods", *BARE)


def _told(node: Node, name: str) -> bool:
    status: Any = node.cluster.get("pod", name)["status"]
    if status["phase"] == "Failed":
        return bool(status.get("message"))
    (state,) = [one["state"] for one in status["containerStatuses"]]
    if "running" in state:
        (address,) = [
            line.partition("=")[2] for line in node.log(name).splitlines() if line.startswith("PCI_RESOURCE_")
        ]
        group = node.shell(f"basename $(readlink /sys/bus/pci/devices/{address}/iommu_group)").strip()
        return f"opened /dev/vfio/{group}" in node.log(name).splitlines()
    events = node.cluster.kubectl("get", "events", "--field-selector", f"involvedObject.name={name}").stdout
    return "waiting" in state and "/dev/vfio/" in events


def _is_there(node: Node, path: str) -> bool:
    try:
        return node.file(path) is not None
    except LabError:
        return False
