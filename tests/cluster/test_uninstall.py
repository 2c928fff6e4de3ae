"""What `helm uninstall` leaves behind: CRDs, SriovNode objects and the files that its notes name; nothing else."""

from __future__ import annotations

from virtfn_lab.cluster import Cluster
from virtfn_lab.node import Node
from virtfn_lab.product import NAMESPACE, functions, install, uninstall

KINDS = "all,sa,role,rolebinding,configmap,secret,networkpolicy,pdb"
CLUSTER_KINDS = (
    "clusterrole,clusterrolebinding,priorityclass,validatingwebhookconfiguration,"
    "validatingadmissionpolicy,validatingadmissionpolicybinding"
)
FILES = (
    "find /run/virtfn* /var/lib/virtfn ! -type d; "
    "find /var/lib/kubelet/device-plugins /var/lib/kubelet/plugins* -name 'virtfn*'"
)


def test_uninstall_leaves_what_its_notes_say(cluster: Cluster) -> None:
    node = Node(cluster)
    notes = cluster.helm("get", "notes", "virtfn", "-n", NAMESPACE).stdout
    assert node.shell(FILES).splitlines(), "nothing was there to be removed"
    uninstall(cluster)

    # What belonged to a removed object (replica sets) is collected by Kubernetes when it comes to it.
    cluster.until("nothing of virtfn is left", lambda: not _objects(cluster), 60)
    assert cluster.kubectl("get", "crd", "-o", "name").stdout.count("virtfn.dev") == 2
    assert cluster.kubectl("get", "svn", "-o", "name").stdout.split() == ["sriovnode.virtfn.dev/node-1"]
    files = node.shell(FILES).split()
    assert [file for file in files if f" {file}: " not in notes] == []
    for word in ("CRDs sriovpolicies.virtfn.dev", "SriovNode objects", "/var/lib/virtfn/journal.json"):
        assert word in notes


def _objects(cluster: Cluster) -> list[str]:
    left = (
        cluster.kubectl("get", KINDS, "-A", "-o", "name").stdout
        + cluster.kubectl("get", CLUSTER_KINDS, "-o", "name").stdout
    )
    return [name for name in left.splitlines() if "virtfn" in name]


def test_after_uninstalling_it_can_be_installed_again(cluster: Cluster) -> None:
    install(cluster)
    assert "0000:01:00.0 igb 1" in functions(cluster)
    uninstall(cluster)
