"""The kubelet's cases of a kubelet that comes back before the device plugin (docs/conformance.md).

The plugin stands still meanwhile (its cgroup is frozen), as upstream's waits for a file. As upstream does, a reboot is
imitated: all processes of the pod are ended while no kubelet runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from virtfn_lab.containers import PLUGIN
from virtfn_lab.kubelet_cases import (
    AS_IT_IS,
    BACK,
    BOTH,
    GRACE,
    OPENS,
    POD,
    Devices,
    admission,
    assigned,
    become,
    device_of,
    devices,
    end_containers,
    guest,
    instance,
    kubelet_down,
    stays,
    without_the_plugin,
)
from virtfn_lab.node import Node
from virtfn_lab.product import NAMESPACE


@contextmanager
def as_after_a_reboot(node: Node, pod: str) -> Iterator[None]:
    """End a pod's processes and restart the kubelet; within this context no plugin can register."""
    with node.frozen(PLUGIN):
        with kubelet_down(node):
            end_containers(node, pod)
        yield


def test_a_pod_that_has_ended_is_not_admitted_again(stand: Node, resource: str) -> None:
    """will not attempt to admit the succeeded pod after the kubelet restart and device plugin removed"""
    stand.apply(guest("one", resource, OPENS, restart="Never", finalizers=["virtfn.dev/test"]))
    assert device_of(stand, "one")
    stand.until("it has succeeded", lambda: instance(stand, "one").phase == "Succeeded", POD)
    try:
        with without_the_plugin(stand):
            become(stand, resource, Devices(0, 2), GRACE)
            with kubelet_down(stand):
                pass
            become(stand, resource, Devices(0, 0), GRACE)  # the new kubelet has written the Node
            stays(lambda: instance(stand, "one").phase, "Succeeded", AS_IT_IS)
    finally:
        stand.cluster.kubectl("patch", "pod", "one", "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    stand.cluster.kubectl("-n", NAMESPACE, "rollout", "status", "ds/virtfn-deviceplugin", "--timeout=110s")


def test_a_pod_is_refused_after_a_reboot_and_has_no_device_any_more(stand: Node, resource: str) -> None:
    """Does not keep device plugin assignments across node reboots if fails admission (no pod restart, no device plugin
    re-registration)"""
    stand.apply(guest("one", resource))
    (device,) = stand.holds("one")
    assert assigned(stand) == {"one": {"main": [f"{resource}={device}"]}}
    with as_after_a_reboot(stand, "one"):
        stand.until("the pod is refused", lambda: resource in admission(stand, "one"), POD)
        stand.until("podresources does not list it", lambda: "one" not in assigned(stand), BACK)
    become(stand, resource, BOTH)


def test_nothing_is_allocatable_and_the_pod_is_refused_until_the_plugin_registers(stand: Node, resource: str) -> None:
    """should deploy pod consuming devices first but fail with admission error after kubelet restart in case device
    plugin hasn't re-registered"""
    stand.apply(guest("one", resource))
    stand.holds("one")
    with as_after_a_reboot(stand, "one"):
        stand.until("nothing is allocatable", lambda: devices(stand, resource).allocatable == 0, GRACE)
        stand.until("the pod is refused", lambda: resource in admission(stand, "one"), POD)
    become(stand, resource, BOTH)
