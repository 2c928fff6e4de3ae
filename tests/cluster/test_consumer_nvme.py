"""A virtual machine in a pod writes to a whole NVMe controller; the node reads the same bytes when it has it back."""

from __future__ import annotations

import re

from virtfn_lab.consumers import example, follow
from virtfn_lab.node import Node
from virtfn_lab.product import allocatable

CONTROLLER = "0000:03:00.0"
MEGABYTES = 4


def test_what_a_guest_writes_is_on_the_disk(node: Node) -> None:
    blank = _sum_on_the_node(node)
    node.apply(example("policy-whole.yaml"))
    node.until("the controller is allocatable", lambda: allocatable(node.cluster, "virtfn.dev/nvme") == 1)
    assert _driver(node) == "vfio-pci"
    node.apply(example("nvme/pod.yaml"))
    text = "\n".join(follow(node, "disk"))
    assert re.search(r"\[1b36:0010\] driver nvme", text)
    assert f"wrote {MEGABYTES << 20} bytes" in text
    written = re.findall(rf"read {MEGABYTES << 20} bytes, all as written: (\w{{64}})", text)

    node.cluster.kubectl("delete", "pod", "disk")
    node.cluster.kubectl("delete", "svp", "storage")
    node.until("the node has its controller back", lambda: _driver(node) == "nvme")
    node.until("and its disk", lambda: "disk" in node.shell("test -b /dev/nvme0n1 && echo disk || true"))
    assert written == [_sum_on_the_node(node)]
    assert written != [blank]


def _driver(node: Node) -> str:
    return node.shell(f"readlink /sys/bus/pci/devices/{CONTROLLER}/driver || true").strip().rpartition("/")[2]


def _sum_on_the_node(node: Node) -> str:
    return node.shell(f"head -c {MEGABYTES << 20} /dev/nvme0n1 | sha256sum").split()[0]
