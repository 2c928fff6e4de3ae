"""A node as another tool leaves it: VFs made and bound by hand, and a device plugin that offers them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from virtfn_lab.node import Node
from virtfn_lab.paths import repository
from virtfn_lab.product import allocatable
from virtfn_lab.script_pod import FOLDER, script_pod

SCRIPT = repository() / "tests/cluster/other_plugin.py"

USE = r"""
env | grep '^PCIDEVICE_' | sed 's/^[^=]*=/holds /'
for group in /dev/vfio/[0-9]*; do
  [ -c "$group" ] && exec 3<>"$group" && echo "opened $group"
done
trap exit TERM
while :; do sleep 1; done
"""


@dataclass(frozen=True, slots=True)
class Offer:
    """VFs of one PF that the tool offers under one resource name."""

    pf: str
    indexes: range | Sequence[int]
    vfio: bool = True


@contextmanager
def made_by_hand(node: Node, counts: Mapping[str, int], offers: Sequence[Offer]) -> Iterator[None]:
    """Make VFs and bind them as offered; in the end they are taken away.

    Args:
        counts: the number of VFs of each PF, by address.
    """
    node.shell("modprobe -a igbvf vfio-pci")
    for pf, count in counts.items():
        node.shell(f"echo {count} > /sys/bus/pci/devices/{pf}/sriov_numvfs")
    for offer in offers:
        for address in addresses(node, offer) if offer.vfio else ():
            device = f"/sys/bus/pci/devices/{address}"
            node.shell(
                f"echo vfio-pci > {device}/driver_override && echo {address} > {device}/driver/unbind && "
                f"echo {address} > /sys/bus/pci/drivers_probe"
            )
    yield
    for pf in counts:
        node.shell(f"echo 0 > /sys/bus/pci/devices/{pf}/sriov_numvfs")


def addresses(node: Node, offer: Offer) -> list[str]:
    """Return the addresses of offered VFs, by index."""
    links = " ".join(f"/sys/bus/pci/devices/{offer.pf}/virtfn{index}" for index in offer.indexes)
    return [path.rpartition("/")[2] for path in node.shell(f"readlink -f {links}").split()]


@contextmanager
def served_by_another(node: Node, resources: Mapping[str, Sequence[Offer]]) -> Iterator[None]:
    """Offer VFs by the other tool's plugin, one pod for each resource, until this context ends."""
    pods = {resource: f"other-{number}" for number, resource in enumerate(resources)}
    for resource, name in pods.items():
        offered = [address for offer in resources[resource] for address in addresses(node, offer)]
        node.apply(*script_pod(name, SCRIPT, resource, *offered))
    for resource, offers in resources.items():
        wanted = sum(len(offer.indexes) for offer in offers)
        node.until(f"{resource}: {wanted}", lambda: allocatable(node.cluster, resource) == wanted, 90)  # noqa: B023
    yield
    node.cluster.kubectl("delete", "pod,configmap", *pods.values())
    node.shell(f"rm -f {FOLDER}/other-*.sock")


def user(name: str, resource: str) -> str:
    """Return a pod that opens the VF that it is given, if that is on vfio-pci, and keeps it."""
    container = {
        "name": "main",
        "image": "localhost/virtfn/pod:lab",
        "imagePullPolicy": "Never",
        "command": ["sh", "-ec", USE],
        "resources": {"limits": {resource: 1}},
    }
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def used(node: Node, pod: str) -> str:
    """Wait until a pod runs with its VF; return the VF's address."""
    node.until(f"pod {pod} has its VF", lambda: "holds " in node.log(pod), 90)
    (line,) = [line for line in node.log(pod).splitlines() if line.startswith("holds 0")]
    return line.removeprefix("holds ")
