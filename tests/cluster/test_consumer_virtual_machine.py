"""A virtual machine in a pod drives the pod's VF and reaches another VF through the card; then the VF is as before."""

from __future__ import annotations

from virtfn_lab.consumers import example, far_end, follow, mac, vf
from virtfn_lab.node import Node
from virtfn_lab.product import allocatable, functions

RESOURCE = "virtfn.dev/machine"


def test_a_guest_reaches_another_vf_and_gives_its_own_back(node: Node) -> None:
    before = functions(node.cluster)
    node.apply(example("virtual-machine/policy.yaml"))
    node.until("six VFs are allocatable", lambda: allocatable(node.cluster, RESOURCE) == 6)
    node.converged()
    made, address, its_mac = functions(node.cluster), vf(node, 0), mac(node, 0)
    with far_end(node) as far:
        received = _received(node, far)
        node.apply(example("virtual-machine/pod.yaml"))
        node.until("the SriovNode names the holder", lambda: "default/machine" in str(node.status()))
        text = "\n".join(follow(node, "machine"))
        assert _received(node, far) >= received + 5
    assert "[8086:10ca] driver igbvf" in text
    assert f"{its_mac}, carrier 1" in text
    assert "5 packets transmitted, 5 packets received, 0% packet loss" in text

    node.until("the pod has ended well", lambda: _phase(node) == "Succeeded")
    node.until("its VF is free", lambda: node.status()["summary"]["inUse"] == 0)
    assert functions(node.cluster) == made
    assert f"{address} vfio-pci" in made
    assert mac(node, 0) == its_mac
    node.cluster.kubectl("delete", "svp", "machines")
    node.until("everything is as it was", lambda: functions(node.cluster) == before)


def _received(node: Node, netdev: str) -> int:
    return int(node.shell(f"cat /sys/class/net/{netdev}/statistics/rx_packets"))


def _phase(node: Node) -> str:
    return node.cluster.kubectl("get", "pod", "machine", "-o", "jsonpath={.status.phase}").stdout
