"""Programs in pods that use their VFs, as demo and tests of consumers run them: the files of examples/."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from virtfn_lab.cluster import LabError
from virtfn_lab.node import LEFT, Node
from virtfn_lab.paths import repository

FAR = "192.0.2.1"
"""The address that the guest of examples/virtual-machine pings."""

GUEST = 240.0
"""Seconds that a guest may take from the pod's creation to its end, where the CPU is emulated twice."""

PACKETS = re.compile(r"^\s*(RX|TX)-packets: (\d+)", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Frames that a dpdk-testpmd has counted on its port."""

    received: int
    sent: int


def example(path: str) -> str:
    """Return a file of examples/."""
    return (repository() / "examples" / path).read_text()


def frames(log: str) -> Frames:
    """Return the newest counts in a log of dpdk-testpmd; it prints them anew every few seconds."""
    newest = {"RX": 0, "TX": 0} | {way: int(number) for way, number in PACKETS.findall(log)}
    return Frames(received=newest["RX"], sent=newest["TX"])


def netdev(node: Node, address: str) -> str:
    """Return the name of a function's netdev."""
    return node.shell(f"ls /sys/bus/pci/devices/{address}/net").strip()


def vf(node: Node, index: int, pf: str = LEFT) -> str:
    """Return the PCI address of a VF."""
    return node.shell(f"readlink /sys/bus/pci/devices/{pf}/virtfn{index}").strip().rpartition("/")[2]


def mac(node: Node, index: int, pf: str = LEFT) -> str:
    """Return the MAC address of a VF, as its PF shows it.

    Raises:
        LabError: it shows none.
    """
    shown = node.shell(f"ip link show dev {netdev(node, pf)}")
    found = re.search(rf"vf {index} .*?link/ether ([0-9a-f:]+)", shown)
    if found is None:
        raise LabError(f"{pf} shows no MAC of VF {index}:\n{shown}")
    return found[1]


@contextmanager
def link_up(node: Node, pf: str = LEFT) -> Iterator[None]:
    """Within this context a PF is up and has a carrier: without it the card carries nothing from VF to VF."""
    name = netdev(node, pf)
    node.shell(f"ip link set {name} up")
    try:
        node.until(f"{name} has a carrier", lambda: node.shell(f"cat /sys/class/net/{name}/carrier").strip() == "1", 30)
        yield
    finally:
        node.shell(f"ip link set {name} down")


@contextmanager
def far_end(node: Node, index: int = 6) -> Iterator[str]:
    """Within this context the node answers at FAR through a VF that is on its kernel's driver; yield its netdev."""
    with link_up(node):
        name = netdev(node, vf(node, index))
        node.shell(f"ip address add {FAR}/24 dev {name} && ip link set {name} up")
        try:
            yield name
        finally:
            node.shell(f"ip link set {name} down; ip address flush dev {name}")


def follow(node: Node, pod: str, tell: Callable[[str], None] = print, end: str = "guest: done") -> list[str]:
    """Hand each new line of a pod's log to `tell` until the line `end`; return all lines.

    Raises:
        LabError: that line does not come, or the pod ends without it.
    """
    lines: list[str] = []

    def ended() -> bool:
        phase = node.cluster.kubectl("get", "pod", pod, "-o", "jsonpath={.status.phase}", check=False).stdout
        now = [line.strip() for line in node.log(pod).splitlines(keepends=True) if line.endswith("\n")]
        for line in now[len(lines) :]:
            tell(line)
        lines[:] = now
        if phase in ("Succeeded", "Failed") and end not in lines:
            raise LabError(f"pod {pod} ended ({phase}) before it said: {end}\n{node.log(pod)}")
        return end in lines

    node.until(f"pod {pod} says: {end}", ended, GUEST)
    return lines
