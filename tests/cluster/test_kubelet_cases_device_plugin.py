"""The kubelet's cases of its context `DevicePlugin`, with two VFs (docs/conformance.md); docstrings are their names."""

from __future__ import annotations

import json

from virtfn_lab.containers import PLUGIN, running
from virtfn_lab.kubelet_cases import (
    BACK,
    BOTH,
    POD,
    assigned,
    become,
    device_of,
    guest,
    has_containers,
    instance,
    kubelet_down,
    restart_container,
    runs,
)
from virtfn_lab.kubelet_restarts import said
from virtfn_lab.node import Mark, Node
from virtfn_lab.product import NAMESPACE


def expect_assigned(node: Node, resource: str, **devices: str) -> None:
    """Check what podresources says of the container `main` of these pods, and that it knows no others."""
    assert assigned(node) == {pod: {"main": [f"{resource}={device}"]} for pod, device in devices.items()}


def registered_again(node: Node, mark: Mark, resource: str) -> None:
    """Wait until the plugin has registered after the mark, and both devices are back."""
    node.until("the plugin has registered", lambda: resource in said(node.said_since(mark)).began, POD)
    become(node, resource, BOTH, BACK)


def restart_plugin(node: Node) -> Mark:
    """Delete the plugin's pod by force and wait for its successor; return the beginning of that one's log."""
    before = node.container(PLUGIN)
    node.cluster.kubectl("delete", "pod", "-n", NAMESPACE, before.pod, "--force", "--grace-period=0")

    def another() -> bool:
        found = running(node.cluster, PLUGIN)
        return found is not None and found.id != before.id

    node.until("another plugin runs", another, POD)
    return Mark(container=node.container(PLUGIN), lines=0)


def test_a_pod_gets_a_device_and_both_podresources_versions_list_it(stand: Node, resource: str) -> None:
    """Can schedule a pod that requires a device"""
    stand.apply(guest("one", resource))
    (device,) = stand.holds("one")
    wanted = {"one": {"main": [f"{resource}={device}"]}}
    assert assigned(stand, "v1") == wanted
    assert assigned(stand, "v1alpha1") == wanted


def test_a_container_that_restarts_has_the_same_device(stand: Node, resource: str) -> None:
    """Keeps device plugin assignments across pod restarts (no kubelet restart, no device plugin restart)"""
    stand.apply(guest("one", resource))
    (device,) = stand.holds("one")
    restart_container(stand, "one")
    assert stand.holds("one") == [device]
    expect_assigned(stand, resource, one=device)
    stand.apply(guest("two", resource))
    (other,) = stand.holds("two")
    assert other != device
    expect_assigned(stand, resource, one=device, two=other)


def test_a_kubelet_that_restarts_leaves_the_pod_and_its_device(stand: Node, resource: str) -> None:
    """Keeps device plugin assignments across kubelet restarts (no pod restart, no device plugin restart)"""
    stand.apply(guest("one", resource))
    (device,) = stand.holds("one")
    before, mark = runs(stand, "one"), stand.mark(PLUGIN)
    with kubelet_down(stand):
        pass
    registered_again(stand, mark, resource)
    assert runs(stand, "one") == before
    expect_assigned(stand, resource, one=device)


def test_container_and_kubelet_restart_and_the_device_is_the_same(stand: Node, resource: str) -> None:
    """Keeps device plugin assignments across pod and kubelet restarts (no device plugin restart)"""
    stand.apply(guest("one", resource))
    (device,) = stand.holds("one")
    restart_container(stand, "one")
    assert stand.holds("one") == [device]
    before, mark = runs(stand, "one"), stand.mark(PLUGIN)
    with kubelet_down(stand):
        pass
    registered_again(stand, mark, resource)
    assert runs(stand, "one").uid == before.uid
    assert stand.holds("one") == [device]
    expect_assigned(stand, resource, one=device)


def test_a_plugin_that_restarts_leaves_the_pod_and_its_device(stand: Node, resource: str) -> None:
    """Keeps device plugin assignments after the device plugin has restarted (no kubelet restart, pod restart)"""
    stand.apply(guest("one", resource))
    (device,) = stand.holds("one")
    before = runs(stand, "one")
    registered_again(stand, restart_plugin(stand), resource)
    assert runs(stand, "one") == before
    expect_assigned(stand, resource, one=device)


def test_kubelet_and_plugin_restart_and_the_pod_stays(stand: Node, resource: str) -> None:
    """Keeps device plugin assignments after kubelet restart and device plugin restart (no pod restart)"""
    stand.apply(guest("one", resource))
    (device,) = stand.holds("one")
    before, mark = runs(stand, "one"), stand.mark(PLUGIN)
    with kubelet_down(stand):
        pass
    registered_again(stand, mark, resource)
    assert runs(stand, "one") == before
    expect_assigned(stand, resource, one=device)
    registered_again(stand, restart_plugin(stand), resource)
    assert runs(stand, "one") == before
    expect_assigned(stand, resource, one=device)


def test_a_pod_that_was_deleted_while_no_kubelet_ran_is_cleaned_up(stand: Node, resource: str) -> None:
    """[OrphanedPods] Ensures pods consuming devices deleted while kubelet is down are cleaned up correctly"""
    stand.apply(guest("one", resource))
    stand.holds("one")
    mark = stand.mark(PLUGIN)
    with kubelet_down(stand):
        stand.cluster.kubectl("delete", "pod", "one", "--force", "--grace-period=0")
        assert has_containers(stand, "one"), "it was gone before"
    stand.until("its containers are gone", lambda: not has_containers(stand, "one"), POD)
    stand.until("podresources does not list it", lambda: "one" not in assigned(stand), BACK)
    registered_again(stand, mark, resource)


def test_an_init_container_shares_its_device_with_a_sidecar_and_not_with_the_pod(stand: Node, resource: str) -> None:
    """Can schedule a pod with a restartable init container"""
    body = json.loads(guest("one", resource))
    (main,) = body["spec"]["containers"]
    init = json.loads(guest("one", resource, script="env | grep '^PCI'\n"))["spec"]["containers"][0]
    body["spec"]["initContainers"] = [
        {**init, "name": "init"},
        {**main, "name": "sidecar", "restartPolicy": "Always"},
    ]
    stand.apply(json.dumps(body))
    runs(stand, "one")
    first, sidecar, app = (device_of(stand, "one", name) for name in ("init", "sidecar", "main"))
    assert first == sidecar != app
    assert assigned(stand) == {"one": {"sidecar": [f"{resource}={sidecar}"], "main": [f"{resource}={app}"]}}
    assert instance(stand, "one").restarts == 0
