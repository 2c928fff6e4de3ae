"""A VF that is open and that no pod is known to have: a program of the host is named, an init container is evicted."""

from __future__ import annotations

import json
from typing import Any

from virtfn_lab.node import LEFT, Node, policy
from virtfn_lab.paths import repository
from virtfn_lab.product import allocatable
from virtfn_lab.script_pod import script_pod

RESOURCE = "virtfn.dev/left"
PROGRAM = repository() / "lab/guest/open-vf.py"


def withheld(node: Node) -> list[Any]:
    return [entry for pool in node.status()["pools"] for entry in pool.get("withheld", [])]


def test_a_vf_that_a_program_of_the_host_has_open_is_offered_to_no_pod(node: Node) -> None:
    node.apply(policy("left", 2, LEFT))
    node.until("2 are allocatable", lambda: allocatable(node.cluster, RESOURCE) == 2)
    address = node.shell(f"readlink /sys/bus/pci/devices/{LEFT}/virtfn0").strip().rpartition("/")[2]
    pid = node.shell(f"nohup python3 -I /src/lab/guest/open-vf.py {address} >/run/open-vf 2>&1 & echo $!").strip()
    try:
        node.until("the program has it open", lambda: "opened" in node.shell("cat /run/open-vf"))
        node.until("1 is allocatable", lambda: allocatable(node.cluster, RESOURCE) == 1)
        (entry,) = withheld(node)
        assert (entry["devices"], entry["reason"]) == ([address], "NotUsable")
        assert f"is in use, by no pod: process {pid} (python3) has its group open" in entry["message"]
    finally:
        node.shell(f"kill {pid}")
    node.until("2 are allocatable", lambda: allocatable(node.cluster, RESOURCE) == 2)


def init_container(name: str) -> tuple[str, str]:
    """Return a pod whose init container has a VF open and does not end."""
    script, made = script_pod(name, PROGRAM)
    body = json.loads(made)
    body["spec"]["initContainers"] = body["spec"]["containers"]
    body["spec"]["containers"] = [{"name": "main", "image": "localhost/virtfn/pod:lab", "imagePullPolicy": "Never"}]
    body["spec"]["initContainers"][0]["resources"] = {"limits": {RESOURCE: 1}}
    return script, json.dumps(body)


def test_the_pod_of_an_init_container_that_has_a_vf_open_is_evicted(node: Node) -> None:
    node.apply(policy("left", 2, LEFT, disruption={"whenInUse": "Evict"}))
    node.until("2 are allocatable", lambda: allocatable(node.cluster, RESOURCE) == 2)
    node.apply(*init_container("starting"))
    node.until("the init container has it open", lambda: "opened" in node.log("starting", "plugin"))
    node.edit("left", 1)
    gone = ("get", "pod", "starting", "--ignore-not-found", "-o", "name")
    node.until("the pod is gone", lambda: not node.cluster.kubectl(*gone).stdout, 150)
    node.until("1 is allocatable", lambda: allocatable(node.cluster, RESOURCE) == 1)
    node.converged()
