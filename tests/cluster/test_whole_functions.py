"""A card handed out itself, from kubectl apply to an open group in a pod, and back; what the node needs is refused."""

from __future__ import annotations

import json

from virtfn_lab.node import RIGHT, Node
from virtfn_lab.product import allocatable, functions, pod

CARD = "virtfn.dev/card"


def whole(name: str, **matcher: str) -> str:
    spec = {"devices": [matcher], "wholeFunctions": {"resourceName": name}}
    document = {"apiVersion": "virtfn.dev/v1alpha1", "kind": "SriovPolicy", "metadata": {"name": name}, "spec": spec}
    return json.dumps(document)


def test_a_pod_gets_a_whole_card_and_it_comes_back(node: Node) -> None:
    before = functions(node.cluster)
    node.apply(whole("card", address=RIGHT, driver="igb"))
    node.until("the card is allocatable", lambda: allocatable(node.cluster, CARD) == 1)
    node.apply(pod("driver", 1, CARD))
    assert node.holds("driver") == [RIGHT]
    node.until("the SriovNode names its holder", lambda: "default/driver" in str(node.status()["functions"]))
    node.cluster.kubectl("delete", "svp", "card")
    node.until("it waits for the pod", lambda: node.condition()["reason"] == "VfsInUse")
    node.cluster.kubectl("delete", "pods", "--all")
    node.until("it is as it was", lambda: functions(node.cluster) == before)


def test_the_disk_of_the_node_is_refused(node: Node) -> None:
    node.apply(whole("disk", **{"class": "01"}))
    node.until("the policy says why", lambda: "NeededByMachine" in str(node.status()["policies"]))
    assert "the file system on / is on it" in str(node.status()["policies"])
