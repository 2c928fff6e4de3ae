"""The kubelet's cases `Device Plugin Failures Pod Status` (docs/conformance.md); docstrings are their names.

They need the feature gate ResourceHealthStatus, which is on by default from Kubernetes 1.36.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from virtfn_lab.cluster import Cluster
from virtfn_lab.containers import AGENT
from virtfn_lab.kubelet_cases import (
    ONLY_TELLS,
    POD,
    UPDATE,
    WAITS,
    Devices,
    become,
    bind,
    guest,
    runs,
    served,
    unbind,
)
from virtfn_lab.node import RIGHT, Node


@pytest.fixture(scope="module")
def single(cluster: Cluster) -> Iterator[str]:
    """A resource with one VF."""
    with served(Node(cluster), "single", 1, RIGHT) as name:
        yield name


@pytest.fixture
def stand(cluster: Cluster, single: str) -> Iterator[Node]:
    node = Node(cluster)
    become(node, single, Devices(1, 1))
    yield node
    cluster.kubectl("delete", "pods", "--all", "--wait=true")


def status(node: Node, pod: str) -> dict[str, Any]:
    found: Any = node.cluster.get("pod", pod)
    (container,) = found["status"].get("containerStatuses") or [{}]
    assert isinstance(container, dict)
    return container


def health(node: Node, pod: str) -> list[tuple[str, str, str]]:
    """Resource, device and health of what the pod's status says of its container's devices."""
    told = status(node, pod).get("allocatedResourcesStatus") or []
    return [(one["name"], device["resourceID"], device["health"]) for one in told for device in one["resources"]]


def expect_its_health(node: Node, resource: str) -> None:
    """The pod's status says Healthy of its device, and Unhealthy when it has become so."""
    vf = node.shell(f"basename $(readlink /sys/bus/pci/devices/{RIGHT}/virtfn0)").strip()
    node.until("it is told as healthy", lambda: health(node, "one") == [(resource, vf, "Healthy")], UPDATE)
    with node.frozen(AGENT):
        unbind(node, vf)
        node.until("it is told as unhealthy", lambda: health(node, "one") == [(resource, vf, "Unhealthy")], UPDATE)
        bind(node, vf)
        become(node, resource, Devices(1, 1))


def test_the_status_of_a_pod_says_that_its_device_is_unhealthy(stand: Node, single: str) -> None:
    """will report a Healthy and then Unhealthy single device in the pod status"""
    stand.apply(guest("one", single, ONLY_TELLS + WAITS))
    runs(stand, "one")
    expect_its_health(stand, single)


def test_the_status_of_a_pod_that_cannot_start_says_it_too(stand: Node, single: str) -> None:
    """will report a Device Status for the failed pod in the pod status"""
    body = json.loads(guest("one", single))
    body["spec"]["containers"][0] |= {"image": "localhost/there-is-none:1", "imagePullPolicy": "Always"}
    stand.apply(json.dumps(body))
    stand.until("its image is not there", lambda: _waits_for(stand) == "ImagePullBackOff", POD)
    expect_its_health(stand, single)


def _waits_for(node: Node) -> str:
    return str(status(node, "one").get("state", {}).get("waiting", {}).get("reason", ""))
