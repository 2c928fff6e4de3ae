"""The kubelet's cases of a plugin that was there, and what is left of it five minutes later (docs/conformance.md).

Both plugins go at the same time, so that those minutes pass once.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from virtfn_lab.cluster import Cluster
from virtfn_lab.failing import FailingPlugin, failing_plugin
from virtfn_lab.kubelet_cases import (
    AS_IT_IS,
    GRACE,
    UPDATE,
    Devices,
    become,
    served,
    stays,
    without_the_plugin,
)
from virtfn_lab.node import LEFT, Node

TWO, NONE, FORGOTTEN = Devices(2, 2), Devices(0, 2), Devices(0, 0)


@pytest.fixture(scope="module")
def failing(cluster: Cluster) -> Iterator[FailingPlugin]:
    node = Node(cluster)
    with failing_plugin(node, "later") as plugin:
        become(node, plugin.resource, TWO)
        yield plugin


@pytest.fixture(scope="module")
def stopped(cluster: Cluster, failing: FailingPlugin) -> Iterator[str]:
    """Our resource; our plugin is gone, and the other one's ListAndWatch has failed."""
    node = Node(cluster)
    with served(node, "two", 2, LEFT) as resource:
        failing.fail()
        with without_the_plugin(node):
            become(node, resource, NONE)
            yield resource
        become(node, resource, TWO, GRACE)


def test_a_plugin_whose_list_fails_later_is_not_asked_again_and_is_forgotten(
    failing: FailingPlugin, stopped: str
) -> None:
    """when ListAndWatch fails after provisioning devices, node allocatable will be set to zero and kubelet will not
    retry to list resources"""
    become(failing.node, failing.resource, NONE)
    stays(failing.calls, ["GetDevicePluginOptions", "ListAndWatch"], AS_IT_IS)
    become(failing.node, failing.resource, NONE)
    become(failing.node, failing.resource, FORGOTTEN, GRACE + UPDATE)


def test_what_a_stopped_plugin_offered_is_not_allocatable_and_then_forgotten(
    failing: FailingPlugin, stopped: str
) -> None:
    """when device plugin is stopped after provisioning devices, node allocatable will be set to zero"""
    become(failing.node, stopped, FORGOTTEN, GRACE + UPDATE)  # it was 0 of 2 before: the fixture has waited for that
