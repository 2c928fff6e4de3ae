"""What the tests of the kubelet's own device-plugin cases share (docs/conformance.md): pods, devices, podresources.

Each wait has upstream's limit, times the lab's patience (`Cluster.until`), and prints what it took.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from virtfn_lab.cluster import POLL, LabError
from virtfn_lab.containers import AGENT
from virtfn_lab.node import Node, policy
from virtfn_lab.product import NAMESPACE, OPEN_EVERY_GROUP, functions, pod
from virtfn_lab.progress import say

UPDATE = 60.0
"""Seconds until a change of devices is in the Node: nodeStatusUpdateTimeout."""
GRACE = 300.0
"""Seconds after which the kubelet forgets a plugin that is gone: endpointStopGracePeriod."""
BACK = 30.0
"""Seconds until all devices are there again after a restart of kubelet or plugin."""
POD = 60.0
"""Seconds for a pod to start, to end or to be refused."""

AS_IT_IS = 60.0
"""Seconds for which something must stay as it is: devicePluginUpdateTimeout."""

WAITS = "trap exit TERM\nwhile :; do sleep 1; done\n"
OPENS = OPEN_EVERY_GROUP.removesuffix(WAITS)
"""Print the environment, and open what was given: a container that ends well then."""
ONLY_TELLS = "env | grep '^PCI' | sort\n"
"""Print the environment and open nothing, so that the function can be unbound meanwhile."""


class Devices(NamedTuple):
    """What the Node says of one resource; -1: it does not name it."""

    allocatable: int
    capacity: int


ABSENT = Devices(-1, -1)
BOTH = Devices(2, 2)


def stays(look: Callable[[], object], wanted: object, seconds: float) -> None:
    """Look again and again for this long; time itself is what is tested here.

    Raises:
        LabError: something else was seen.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (found := look()) != wanted:
            raise LabError(f"it was to stay {wanted}, and became {found}")
        time.sleep(POLL)


def devices(node: Node, resource: str) -> Devices:
    """Return what the Node says now."""
    found: Any = node.cluster.get("node", "node-1")["status"]
    return Devices(*(int(found[kind].get(resource, -1)) for kind in ("allocatable", "capacity")))


def become(node: Node, resource: str, wanted: Devices, seconds: float = UPDATE) -> float:
    """Wait until the Node says this of a resource; return the seconds that it took."""
    what = f"{resource}: {wanted.allocatable} of {wanted.capacity} allocatable"
    took = node.until(what, lambda: devices(node, resource) == wanted, seconds)
    say(f"{what} after {took:.1f} s (upstream: within {seconds:.0f} s)")
    return took


# --- pods ------------------------------------------------------------------------------------------------------------


def guest(name: str, resource: str, script: str = OPENS + WAITS, *, restart: str = "Always", **fields: Any) -> str:
    """Return a pod with one device and a container `main` that runs this script; `fields` are of its metadata."""
    body = json.loads(pod(name, 1, resource))
    body["metadata"] |= fields
    body["spec"]["restartPolicy"] = restart
    body["spec"]["containers"][0]["command"][-1] = script
    return json.dumps(body)


def device_of(node: Node, pod: str, container: str = "main") -> str:
    """Wait until a container has printed its environment; return the id of its one device."""
    node.until(f"{pod} {container} tells its device", lambda: bool(_told(node, pod, container)), POD)
    (value,) = _told(node, pod, container)
    assert value, f"{pod} started without a device"
    return value


def _told(node: Node, pod: str, container: str) -> list[str]:
    log = node.cluster.kubectl("logs", pod, "-c", container, check=False).stdout
    return [line.partition("=")[2] for line in log.splitlines() if line.startswith("PCI_RESOURCE_")]


class Instance(NamedTuple):
    """One run of a pod's container, to see whether it is still the same."""

    uid: str
    phase: str
    ready: bool
    restarts: int


def instance(node: Node, pod: str) -> Instance:
    """Return the run of the pod's first container."""
    found: Any = node.cluster.get("pod", pod)
    (container, *_) = found["status"].get("containerStatuses") or [{"ready": False, "restartCount": 0}]
    return Instance(found["metadata"]["uid"], found["status"]["phase"], container["ready"], container["restartCount"])


def runs(node: Node, pod: str) -> Instance:
    """Wait until a pod is Running and Ready; return its instance."""

    def ready() -> bool:
        found = instance(node, pod)
        return found.phase == "Running" and found.ready

    node.until(f"{pod} is Running and Ready", ready, POD)
    return instance(node, pod)


def restart_container(node: Node, pod: str) -> None:
    """End the container's process, and wait until the kubelet has started it again."""
    before = runs(node, pod).restarts
    node.cluster.kubectl("exec", pod, "--", "kill", "1")
    node.until(f"the container of {pod} is started again", lambda: instance(node, pod).restarts == before + 1, POD)
    runs(node, pod)


def admission(node: Node, pod: str) -> str:
    """Return the kubelet's word on a pod that it refused; empty: it did not."""
    status: Any = node.cluster.get("pod", pod)["status"]
    refused = status["phase"] == "Failed" and status.get("reason") == "UnexpectedAdmissionError"
    return str(status.get("message", "")) if refused else ""


# --- podresources ----------------------------------------------------------------------------------------------------

Assigned = Mapping[str, Mapping[str, list[str]]]
"""Devices by pod of the namespace `default` and by container, each as `resource=id`; pods without devices are named."""

_LIST = """
import grpc, json, sys
from virtfn_operator.agent.podresources_v1 import podresources_pb2 as wire
options = [("grpc.default_authority", "localhost")]
with grpc.insecure_channel("unix:///var/lib/kubelet/pod-resources/kubelet.sock", options=options) as channel:
    ask = channel.unary_unary(
        f"/{sys.argv[1]}.PodResourcesLister/List",
        request_serializer=wire.ListPodResourcesRequest.SerializeToString,
        response_deserializer=wire.ListPodResourcesResponse.FromString,
    )
    answer = ask(wire.ListPodResourcesRequest(), timeout=30)
print(json.dumps({
    pod.name: {
        container.name: [f"{d.resource_name}={one}" for d in container.devices for one in d.device_ids]
        for container in pod.containers
    }
    for pod in answer.pod_resources
    if pod.namespace == "default"
}))
"""
"""Runs in the agent's container, which has the socket and gRPC. v1alpha1 has the same fields, and fewer."""


def assigned(node: Node, version: str = "v1") -> Assigned:
    """Ask the kubelet's podresources which devices the containers of the namespace `default` have."""
    agent = node.container(AGENT)
    words = ("-n", NAMESPACE, agent.pod, "-c", AGENT, "--", "/opt/virtfn/bin/python3", "-c", _LIST, version)
    found: Assigned = json.loads(node.cluster.shown(*words))
    return found


# --- what happens to devices, kubelet and plugin ---------------------------------------------------------------------


def unbind(node: Node, *vfs: str) -> None:
    """Take VFs from vfio-pci. Freeze the agent before: it would bind them again."""
    for vf in vfs:
        node.shell(f"echo {vf} > /sys/bus/pci/drivers/vfio-pci/unbind")


def bind(node: Node, *vfs: str) -> None:
    """Bind VFs to vfio-pci again; their driver override is still there."""
    for vf in vfs:
        node.shell(f"echo {vf} > /sys/bus/pci/drivers/vfio-pci/bind")


_STOP = "pid=$(pgrep -f '[k]ubelet --config') && starter=$(ps -o ppid= -p $pid) && kill -STOP $starter && kill -9 $pid"
_SOCKET = "stat -c '%i %y' /var/lib/kubelet/device-plugins/kubelet.sock"


@contextmanager
def kubelet_down(node: Node) -> Iterator[None]:
    """Within this context no kubelet runs; at its end a new one has begun to take registrations."""
    before = node.shell(_SOCKET)
    starter = node.shell(f"{_STOP} && echo $starter").split()[-1]
    try:
        yield
    finally:
        node.shell(f"kill -CONT {starter}")
    took = node.until("a new kubelet takes registrations", lambda: _socket(node) not in ("", before), 60)
    say(f"a new kubelet after {took:.1f} s")


def _socket(node: Node) -> str:
    done = node.cluster.node_exec(1, _SOCKET)
    return done.stdout if done.returncode == 0 else ""


def end_containers(node: Node, pod: str) -> None:
    """End all processes of a pod while no kubelet runs, as a reboot does."""
    named = f"ctr -n k8s.io containers ls -q 'labels.\"io.kubernetes.pod.name\"=={pod}'"
    node.shell(f"for id in $({named}); do ctr -n k8s.io tasks kill -s SIGKILL $id 2>/dev/null; done; true")
    running = f"for id in $({named}); do ctr -n k8s.io tasks ls | grep $id; done | grep -c RUNNING"
    node.until(f"no process of {pod} runs", lambda: node.cluster.node_exec(1, running).stdout.strip() == "0", POD)


def has_containers(node: Node, pod: str) -> bool:
    """Whether the runtime still has a container of this pod."""
    return bool(node.shell(f"ctr -n k8s.io containers ls -q 'labels.\"io.kubernetes.pod.name\"=={pod}'").split())


@contextmanager
def without_the_plugin(node: Node) -> Iterator[None]:
    """Let the DaemonSet of the device plugin select no node in this context."""

    def select(value: str | None) -> None:
        spec = {"template": {"spec": {"nodeSelector": {"virtfn.dev/away": value}}}}
        patch = json.dumps({"spec": spec})
        node.cluster.kubectl("-n", NAMESPACE, "patch", "ds", "virtfn-deviceplugin", "--type=merge", "-p", patch)

    select("yes")
    try:
        yield
    finally:
        select(None)


# --- the node that the cases begin with ------------------------------------------------------------------------------


@contextmanager
def served(node: Node, name: str, count: int, pf: str) -> Iterator[str]:
    """Yield the name of a resource with this number of VFs, all allocatable; give them back at the end."""
    before = functions(node.cluster)
    resource = f"virtfn.dev/{name}"
    node.apply(policy(name, count, pf))
    become(node, resource, Devices(count, count))
    node.converged()
    yield resource
    node.cluster.kubectl("delete", "pods", "--all")
    node.cluster.kubectl("delete", "svp", name)
    node.until("everything is given back", lambda: functions(node.cluster) == before, 90)
    node.converged()
