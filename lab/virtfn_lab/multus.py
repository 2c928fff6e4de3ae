"""The steps of Multus that concern a device, because Multus itself is in no registry of the lab.

As its source has them (multus-cni, pkg/types/conf.go and pkg/kubeletclient): it asks the kubelet's podresources socket
which devices a pod was given of the resource in the network's annotation, puts the id into the network's CNI
configuration as `deviceID` and `pciBusID`, and calls the plugin for the pod's network namespace.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

from virtfn_lab.node import Node
from virtfn_lab.product import NAMESPACE

INTERFACE = "net1"
NETWORKS, RESOURCE = "k8s.v1.cni.cncf.io/networks", "k8s.v1.cni.cncf.io/resourceName"
DEVICE_INFO = "/var/run/k8s.cni.cncf.io/devinfo/dp"

_LIST = """
import grpc, json
from virtfn_operator.agent.podresources_v1 import podresources_pb2 as wire, podresources_pb2_grpc as stubs
options = [("grpc.default_authority", "localhost")]
with grpc.insecure_channel("unix:///var/lib/kubelet/pod-resources/kubelet.sock", options=options) as channel:
    answer = stubs.PodResourcesListerStub(channel).List(wire.ListPodResourcesRequest(), timeout=20)
print(json.dumps([
    (pod.namespace, pod.name, device.resource_name, list(device.device_ids))
    for pod in answer.pod_resources for container in pod.containers for device in container.devices
]))
"""
"""A program for the agent's container, which has the socket and gRPC."""


def given(node: Node, pod: str, resource: str) -> list[str]:
    """Return the ids of a resource's devices that a pod has, as the kubelet's podresources socket lists them."""
    words = ("-n", NAMESPACE, "ds/virtfn-agent", "-c", "agent", "--", "/opt/virtfn/bin/python3", "-c", _LIST)
    listed: Any = json.loads(node.cluster.shown(*words))
    wanted = ["default", pod, resource]
    return sorted(device for *of, devices in listed if of == wanted for device in devices)


def attach(node: Node, pod: str) -> tuple[str, Any]:
    """Do for one pod what Multus does before it starts; return the device's id and the plugin's result."""
    metadata: Any = node.cluster.get("pod", pod)["metadata"]
    network: Any = node.cluster.get("net-attach-def", metadata["annotations"][NETWORKS])
    (device,) = given(node, pod, network["metadata"]["annotations"][RESOURCE])
    return device, json.loads(_plugin(node, "ADD", pod, network["spec"]["config"], device))


def detach(node: Node, pod: str, device: str) -> None:
    """Do what Multus does when the pod ends."""
    metadata: Any = node.cluster.get("pod", pod)["metadata"]
    network: Any = node.cluster.get("net-attach-def", metadata["annotations"][NETWORKS])
    _plugin(node, "DEL", pod, network["spec"]["config"], device)


def device_info(node: Node, resource: str, device: str) -> str:
    """Return the text that Multus copies into the pod's network status; empty without a file."""
    file = node.file(f"{DEVICE_INFO}/{resource.replace('/', '-')}-{device}-device.json")
    return file.content if file else ""


def _plugin(node: Node, command: str, pod: str, config: str, device: str) -> str:
    status: Any = node.cluster.get("pod", pod)["status"]
    container = status["containerStatuses"][0]["containerID"].rpartition("/")[2]
    process = node.shell(f"ctr -n k8s.io tasks list | awk '$1 == \"{container}\" {{print $2}}'").strip()
    told = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": container,
        "CNI_NETNS": f"/proc/{process}/ns/net",
        "CNI_IFNAME": INTERFACE,
        "CNI_PATH": "/usr/lib/cni",
    }
    full = json.dumps(json.loads(config) | {"deviceID": device, "pciBusID": device})
    settings = " ".join(f"{name}={value}" for name, value in told.items())
    return node.shell(f"printf %s {shlex.quote(full)} | {settings} /tools/host-device")
