"""A CNI plugin moves the netdev of a pod's VF into the pod, with the policy's VLAN and MAC; pods ping each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from virtfn_lab.consumers import example, link_up, mac, netdev, vf
from virtfn_lab.multus import attach, detach, device_info
from virtfn_lab.node import LEFT, Node
from virtfn_lab.product import allocatable, functions

CRD = (Path(__file__).parent / "consumers/net-attach-def-crd.yaml").read_text()
PODS = {"near": "virtfn.dev/vlan100", "far": "virtfn.dev/vlan100", "elsewhere": "virtfn.dev/vlan200"}


def test_pods_of_one_vlan_ping_each_other_and_no_others(node: Node) -> None:
    node.apply(CRD)
    node.until("the kind is served", lambda: "networks" in _networks(node))
    node.cluster.kubectl("apply", "--validate=strict", "-f", "-", stdin=example("netdev/networks.yaml"))
    node.apply(example("netdev/policy.yaml"))
    node.until("three VFs are allocatable", lambda: [_offered(node, name) for name in PODS] == [2, 2, 1])
    node.converged()
    bound, names = functions(node.cluster), {vf(node, i): netdev(node, vf(node, i)) for i in range(3)}
    macs = {vf(node, index): mac(node, index) for index in range(3)}
    with link_up(node):
        node.apply(example("netdev/pods.yaml"))
        node.until("they run", lambda: [_phase(node, name) for name in PODS] == ["Running"] * 3)
        attached = {name: attach(node, name) for name in PODS}
        devices = {name: device for name, (device, _) in attached.items()}
        addresses = {name: result["ips"][0]["address"].partition("/")[0] for name, (_, result) in attached.items()}

        for name, device in devices.items():
            shown = _in(node, name, "ip link show net1")
            assert f"link/ether {macs[device]} " in shown
            assert device_info(node, PODS[name], device) == _as_multus_copies_it(device)
        vlans = [re.findall(r"vlan (\d+)", line) for line in _vfs(node)]
        assert vlans == [["100"], ["100"], ["200"]]
        replies = _in(node, "near", f"ping -c 5 -W 10 {addresses['far']}")
        print(replies)
        assert "5 packets received" in replies
        assert "0 packets received" in _in(node, "elsewhere", f"ping -c 3 -W 3 {addresses['far']}")

        for name, device in devices.items():
            detach(node, name, device)
        node.cluster.kubectl("delete", "pods", *PODS, "--wait=true")
        assert _names(node, names) == names
    assert functions(node.cluster) == bound
    node.cluster.kubectl("delete", "crd", "network-attachment-definitions.k8s.cni.cncf.io")


def _as_multus_copies_it(device: str) -> str:
    pci = f'{{"pci-address":"{device}","pf-pci-address":"{LEFT}"}}'
    return f'{{"type":"pci","version":"1.1.0","pci":{pci}}}'


def _networks(node: Node) -> str:
    return node.cluster.kubectl("get", "net-attach-def", "-o", "jsonpath=networks", check=False).stdout


def _offered(node: Node, name: str) -> int:
    return allocatable(node.cluster, PODS[name])


def _phase(node: Node, name: str) -> str:
    return node.cluster.kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}").stdout


def _in(node: Node, pod: str, command: str) -> str:
    return node.cluster.kubectl("exec", pod, "--", *command.split(), check=False).stdout


def _vfs(node: Node) -> list[str]:
    lines = node.shell(f"ip link show dev {netdev(node, LEFT)}").splitlines()
    return [line for line in lines if line.strip().startswith("vf ")]


def _names(node: Node, wanted: Mapping[str, str]) -> dict[str, str]:
    return {address: netdev(node, address) for address in wanted}
