"""virtfn in the lab: install the chart, ask what a node shows, make pods that hold VFs.

For the demo, the cluster tests and the bench.
"""

import json
from typing import Any

from virtfn_lab.cluster import Cluster
from virtfn_lab.paths import repository

NAMESPACE = "virtfn-system"
RESOURCE = "virtfn.dev/fast"
VALUES = ("image.registry=localhost/virtfn", "image.tag=lab", "image.pullPolicy=Never")
CHART = repository() / "charts/virtfn"

HOOK_SECONDS = 600
"""Seconds for one hook of the chart on an emulated node."""

OPEN_EVERY_GROUP = """
env | grep '^PCI' | sort
number=3
for group in /dev/vfio/[0-9]*; do  # a shell does not expand the name of a redirection
  eval "exec $number<>$group"
  [ -c /proc/self/fd/$number ]
  ls -l /proc/self/fd/$number | sed 's/.*-> /opened /'
  number=$((number + 1))
done
[ $number -gt 3 ]
trap exit TERM
while :; do sleep 1; done
"""


def settings(*values: str) -> list[str]:
    """Return Helm's options for the images that the lab built, and for these values."""
    return [word for value in (*VALUES, *values) for word in ("--set", value)]


def install(cluster: Cluster, *values: str) -> float:
    """Install the chart with our images and these values; return the seconds until all of its pods were ready."""
    cluster.helm("install", "virtfn", str(CHART), "--namespace", NAMESPACE, "--create-namespace", *settings(*values))
    return cluster.until("every pod of virtfn is ready", lambda: all_ready(cluster), 300)


def uninstall(cluster: Cluster) -> str:
    """Remove the chart, wait until its pods are gone, and return what Helm and the chart's hooks said."""
    words = ("uninstall", "virtfn", "--namespace", NAMESPACE, "--timeout", f"{HOOK_SECONDS}s")
    done = cluster.helm(*words, timeout=3 * HOOK_SECONDS)
    cluster.until("no pod of virtfn is left", lambda: not cluster.get("pods", "-n", NAMESPACE)["items"], 120)
    return done.stdout + done.stderr


def all_ready(cluster: Cluster) -> bool:
    """Whether every pod of the chart is there and ready."""
    pods: Any = cluster.get("pods", "-n", NAMESPACE)["items"]
    states = [c["status"] for pod in pods for c in pod["status"].get("conditions", []) if c["type"] == "Ready"]
    return len(pods) >= 4 and states == ["True"] * len(pods)


def node_ready(cluster: Cluster, node: str = "node-1") -> tuple[str, str]:
    """Return status and reason of the node's Ready condition; empty while it is about an older config."""
    found: Any = cluster.get("svn", node)
    status = found.get("status") or {}
    if status.get("observedGeneration") != found["metadata"]["generation"]:
        return "", ""
    ready = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), None)
    return (ready["status"], ready["reason"]) if ready else ("", "")


def allocatable(cluster: Cluster, resource: str = RESOURCE, node: str = "node-1") -> int:
    """Return how many of a resource the node offers."""
    found: Any = cluster.get("node", node)
    return int(found["status"]["allocatable"].get(resource, 0))


_FUNCTIONS = """
for d in /sys/bus/pci/devices/*; do
  [ -e $d/sriov_totalvfs ] || [ -e $d/physfn ] || continue
  driver=none autoprobe= override=
  cd -P $d/driver 2>/dev/null && driver=${PWD##*/}
  [ -e $d/sriov_totalvfs ] && read autoprobe < $d/sriov_drivers_autoprobe
  read override < $d/driver_override
  echo ${d##*/} $driver $autoprobe $override
done
"""
"""Shell built-ins only: it runs often, and starting programs would slow down the emulated node."""


def functions(cluster: Cluster) -> str:
    """Return the node's SR-IOV functions: address, driver, autoprobe, override; read on the node itself."""
    return cluster.node_exec(1, _FUNCTIONS).stdout


def pod(name: str, number: int = 1, resource: str = RESOURCE) -> str:
    """Return a pod that prints its environment and opens the group of every VF that it is given, or fails."""
    container = {
        "name": "main",
        "image": "localhost/virtfn/pod:lab",
        "imagePullPolicy": "Never",
        "command": ["sh", "-ec", OPEN_EVERY_GROUP],
        "resources": {"limits": {resource: number}},
    }
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
