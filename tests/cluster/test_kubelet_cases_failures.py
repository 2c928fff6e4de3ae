"""The kubelet's cases `Device Plugin Failures` (docs/conformance.md); docstrings are their names.

Devices become unhealthy because VFs are unbound from vfio-pci on the node. The agent stands still meanwhile: it would
bind them again. What our plugin never does, a small one of the tests does (failing_plugin.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from virtfn_lab.cluster import Cluster
from virtfn_lab.containers import AGENT
from virtfn_lab.failing import failing_plugin
from virtfn_lab.kubelet_cases import (
    ABSENT,
    AS_IT_IS,
    ONLY_TELLS,
    UPDATE,
    WAITS,
    Devices,
    become,
    bind,
    device_of,
    devices,
    guest,
    instance,
    runs,
    served,
    stays,
    unbind,
)
from virtfn_lab.node import LEFT, RIGHT, Node
from virtfn_lab.product import functions


@pytest.fixture(scope="module")
def single(cluster: Cluster) -> Iterator[str]:
    """A resource with one VF."""
    with served(Node(cluster), "single", 1, RIGHT) as name:
        yield name


@pytest.fixture(scope="module")
def four(cluster: Cluster) -> Iterator[str]:
    """A resource with four VFs."""
    with served(Node(cluster), "four", 4, LEFT) as name:
        yield name


@pytest.fixture
def stand(cluster: Cluster) -> Iterator[Node]:
    yield Node(cluster)
    cluster.kubectl("delete", "pods", "--all", "--wait=true")


def vfs(node: Node, pf: str) -> list[str]:
    lines = [line.split() for line in functions(node.cluster).splitlines()]
    return [address for address, *_ in lines if address.startswith(pf[:7]) and address != pf]


def test_a_plugin_whose_options_fail_is_not_used(stand: Node) -> None:
    """when GetDevicePluginOptions fails, device plugin will not be used"""
    with failing_plugin(stand, "options") as plugin:
        assert "GetDevicePluginOptions failed" in plugin.said()[-1]
        assert "failed to get device plugin options" in plugin.said()[-1]
        stays(lambda: (plugin.calls(), devices(stand, plugin.resource)), (["GetDevicePluginOptions"], ABSENT), 15)


def test_one_device_becomes_unhealthy_and_healthy_again(stand: Node, single: str) -> None:
    """will set allocatable to zero when a single device became unhealthy and then back to 1 if it got healthy again"""
    become(stand, single, Devices(1, 1))
    (vf,) = vfs(stand, RIGHT)
    with stand.frozen(AGENT):
        unbind(stand, vf)
        become(stand, single, Devices(0, 1))
        bind(stand, vf)
        become(stand, single, Devices(1, 1))


def test_an_unhealthy_device_counts_as_capacity_and_its_pod_goes_on(stand: Node, single: str) -> None:
    """will set allocatable to zero when a single device became unhealthy, but capacity will stay at 1"""
    become(stand, single, Devices(1, 1))
    stand.apply(guest("one", single, ONLY_TELLS + WAITS))
    vf, before = device_of(stand, "one"), runs(stand, "one")
    assert devices(stand, single) == Devices(1, 1)
    with stand.frozen(AGENT):
        unbind(stand, vf)
        become(stand, single, Devices(0, 1))
        stays(lambda: instance(stand, "one"), before, AS_IT_IS)
        stand.cluster.kubectl("delete", "pod", "one")
        stays(lambda: devices(stand, single), Devices(0, 1), 10)
        bind(stand, vf)
        become(stand, single, Devices(1, 1))


def test_allocatable_is_the_number_of_healthy_devices(stand: Node, four: str) -> None:
    """will lower allocatable to a number of unhealthy devices and then back if they became healthy again"""
    become(stand, four, Devices(4, 4))
    first, *_, last = vfs(stand, LEFT)
    with stand.frozen(AGENT):
        unbind(stand, last)
        become(stand, four, Devices(3, 4))
        bind(stand, last)
        become(stand, four, Devices(4, 4))
        unbind(stand, first, last)
        become(stand, four, Devices(2, 4))
        bind(stand, last)
        become(stand, four, Devices(3, 4))
        bind(stand, first)
        become(stand, four, Devices(4, 4))


def test_a_plugin_whose_list_fails_at_once_is_not_asked_again(stand: Node) -> None:
    """when ListAndWatch fails immediately, node allocatable will be set to zero and kubelet will not retry to list
    resources"""
    with failing_plugin(stand, "list") as plugin:
        assert "registered" in plugin.said()
        become(stand, plugin.resource, Devices(0, 0), UPDATE)
        asked = ["GetDevicePluginOptions", "ListAndWatch"]
        stays(lambda: (plugin.calls(), devices(stand, plugin.resource)), (asked, Devices(0, 0)), AS_IT_IS)
