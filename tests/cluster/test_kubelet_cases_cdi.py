"""The kubelet's case of CDI, with a VF of a policy with grant.cdi (docs/conformance.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from virtfn_lab.cluster import Cluster
from virtfn_lab.kubelet_cases import POD, Devices, become, guest, instance
from virtfn_lab.node import LEFT, Node, policy
from virtfn_lab.product import CHART, NAMESPACE, all_ready, settings

RESOURCE = "virtfn.dev/cdi"
ONE_NODE = """
env | grep '^PCI' | sort
[ $(env | grep -c '^PCI_RESOURCE_VIRTFN_DEV_CDI=') -eq 1 ]
set -- /dev/vfio/[0-9]*
[ $# -eq 1 ] && [ -c "$1" ]
eval "exec 3<>$1"
echo "opened $1"
"""
"""Upstream asks for the variable and for exactly one device node; this opens it, too."""


@pytest.fixture
def with_cdi(cluster: Cluster) -> Iterator[None]:
    """Let the plugin write CDI specs; afterwards it does not again."""
    words = ("upgrade", "virtfn", str(CHART), "--namespace", NAMESPACE)
    cluster.helm(*words, *settings("devicePlugin.cdi=true"))
    _wait_for_plugin(cluster)
    yield
    cluster.helm(*words, *settings())
    _wait_for_plugin(cluster)


def _wait_for_plugin(cluster: Cluster) -> None:
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", "ds/virtfn-deviceplugin", "--timeout=300s", timeout=310)
    cluster.until("every pod of virtfn is ready", lambda: all_ready(cluster), 120)


def test_a_container_has_the_device_of_its_cdi_name_and_no_other(node: Node, with_cdi: None) -> None:
    """can make a CDI device accessible in a container"""
    pools = {"count": 2, "pools": [{"resourceName": "cdi", "grant": {"cdi": {}}}]}
    node.apply(policy("cdi", address=LEFT, virtualFunctions=pools))
    become(node, RESOURCE, Devices(2, 2))
    node.apply(guest("one", RESOURCE, ONE_NODE, restart="Never"))
    node.until("the pod has ended", lambda: instance(node, "one").phase in ("Succeeded", "Failed"), POD)
    assert instance(node, "one").phase == "Succeeded", node.log("one")
    (device,) = [line.partition("=")[2] for line in node.log("one").splitlines() if line.startswith("PCI_RESOURCE_")]
    kinds = {spec["kind"] for spec in specs(node) if any(one["name"] == device for one in spec["devices"])}
    assert kinds == {"virtfn.dev/pci", RESOURCE}


def specs(node: Node) -> list[Any]:
    files = [node.file(path) for path in node.shell("ls -d /var/run/cdi/virtfn-*.json").split()]
    return [json.loads(file.content) for file in files if file is not None]
