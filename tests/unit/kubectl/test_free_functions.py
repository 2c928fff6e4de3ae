"""`why POD` counts what is free as the scheduler does: a function that is withheld and in use by no pod counts once."""

from __future__ import annotations

from typing import Any

import pytest
from fake_cluster import Answer, Ask, cluster_of, recorded

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, Holder, Pod, Process, holder_text
from virtfn_operator.agent.naming import unnamed

AT = PciAddress.parse("0000:01:10.0")
POD = holder_text(Holder(address=AT, cause=Cause.KUBELET, pod=Pod(namespace="a", name="p1")))
STARTING = holder_text(Holder(address=AT, cause=Cause.LEDGER))
QEMU = Process(pid=4711, command="qemu")
OUTSIDE = holder_text(Holder(address=AT, cause=Cause.GROUP_OPEN, process=QEMU))
CDEV = holder_text(Holder(address=AT, cause=Cause.CDEV_OPEN, process=QEMU, at="/dev/vfio/devices/vfio0"))
MATE = holder_text(Holder(address=AT, cause=Cause.KUBELET, pod=Pod(namespace="a", name="p1"), member=AT))

HELD: dict[str, tuple[bool, list[str]]] = {
    "f": (True, []),
    "b": (False, []),
    "p": (True, [POD, OUTSIDE]),
    "s": (True, [STARTING]),
    "P": (False, [POD]),
    "o": (False, [OUTSIDE]),
    "c": (False, [CDEV]),
    "g": (False, [MATE]),
    "u": (False, [unnamed(3)]),
    "e": (True, [holder_text(Holder(address=AT, cause=Cause.ENABLED))]),
}
"""By letter, whether a function is healthy and who has it: free, broken, a pod, a pod that starts, a pod and withheld,
a process, one by its cdev, another function of its group, holders without room for names, something unseen."""


def asked(ask: Ask, vfs: str, *, named: bool = True, number: int = 1) -> tuple[Answer, str]:
    """Ask why a pod waits, where one node has these functions; return the answer and the point of the node."""
    fleet: dict[str, Any] = recorded("healthy")
    (node, *_), found = fleet["nodes"], [HELD[letter] for letter in vfs]
    fleet["nodes"], healthy = [node], sum(well for well, _ in found)
    in_use = sum(bool(holders) for _, holders in found)
    runs = [
        {"indexes": str(n), "driver": "vfio-pci", "pool": "virtfn.dev/fast"} | ({"heldBy": holders} if named else {})
        for n, (_, holders) in enumerate(found)
    ]
    node["status"]["functions"] = [{"address": "0000:01:00.0", "numVfs": len(vfs), "vfs": runs}]
    withheld = [{"devices": [], "number": len(vfs) - healthy, "reason": "NotUsable", "message": "is withheld"}]
    numbers = {"capacity": len(vfs), "healthy": healthy, "offered": healthy, "inUse": in_use}
    node["status"]["pools"] = [{"resourceName": "virtfn.dev/fast", **numbers, "withheld": withheld}]
    limits = {"limits": {"virtfn.dev/fast": str(number)}}
    body = {"metadata": {"name": "w", "namespace": "default"}, "spec": {"containers": [{"resources": limits}]}}
    fleet["pods"] = [{**body, "status": {"phase": "Pending"}}]
    answer = ask(cluster_of(fleet), "why", "pod/w", "--json")
    (point,) = answer.document["points"]
    return answer, point["message"]


@pytest.mark.parametrize(
    ("vfs", "free"), [("oppf", 1), ("cspf", 1), ("gpfb", 1), ("oooff", 2), ("ffff", 4), ("ogpPff", 1), ("bpff", 2)]
)
def test_what_is_free_for_the_scheduler_is_told(ask: Ask, vfs: str, free: int) -> None:
    answer, message = asked(ask, vfs)
    assert message == f"{free} of virtfn.dev/fast are free: virtfn is no obstacle here"
    assert answer.document["verdict"]["reason"] == "Unschedulable"
    assert asked(ask, vfs, number=free + 1)[0].document["verdict"]["reason"] != "Unschedulable"


@pytest.mark.parametrize("vfs", ["bppp", "Pppf", "oppp", "spPf", "ooo", "gp", "eee"])
def test_nothing_is_free_where_pods_have_what_is_offered(ask: Ask, vfs: str) -> None:
    answer, message = asked(ask, vfs)
    assert "free" not in message
    assert answer.document["verdict"]["reason"] == "VfsInUse"


@pytest.mark.parametrize(("vfs", "least", "most"), [("oppf", 0, 1), ("bppp", 0, 1), ("ooff", 0, 2), ("Ppff", 1, 2)])
def test_a_status_without_holders_leaves_it_open(ask: Ask, vfs: str, least: int, most: int) -> None:
    answer, message = asked(ask, vfs, named=False, number=most)
    assert message.startswith(f"between {least} and {most} of ")
    assert answer.document["verdict"]["message"].startswith("virtfn may have free functions")


@pytest.mark.parametrize("vfs", ["uppf", "eppfb"])
def test_holders_that_are_not_named_leave_it_open(ask: Ask, vfs: str) -> None:
    _, message = asked(ask, vfs, number=1 + vfs.count("e"))
    assert message.startswith("between ")


def test_where_nothing_is_withheld_holders_need_not_be_named(ask: Ask) -> None:
    assert asked(ask, "ppff", named=False)[1].startswith("2 of virtfn.dev/fast are free")
    assert asked(ask, "pppp", named=False)[0].document["verdict"]["reason"] == "VfsInUse"


def test_a_node_that_the_pod_does_not_select_has_no_room_for_it(ask: Ask) -> None:
    fleet = recorded("healthy")
    fleet["members"][0]["metadata"]["labels"]["zone"] = "b"
    fleet["nodes"][0]["status"]["pools"][0]["inUse"] = 8
    limits = {"limits": {"virtfn.dev/fast": "1"}}
    spec = {"containers": [{"resources": limits}], "nodeSelector": {"zone": "b"}}
    fleet["pods"] = [{"metadata": {"name": "w", "namespace": "default"}, "spec": spec, "status": {"phase": "Pending"}}]
    answer = ask(cluster_of(fleet), "why", "pod/w", "--json")
    assert answer.document["verdict"]["message"] == "no node has enough free functions for it"
