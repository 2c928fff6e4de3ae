"""What `helm uninstall` leaves behind: CRDs, policies, and what docs/operate.md names; nothing else."""

from __future__ import annotations

from virtfn_lab.cluster import Cluster
from virtfn_lab.lifecycle import CRDS, left_behind, left_in_the_end
from virtfn_lab.node import LEFT, Node, policy
from virtfn_lab.product import functions, install, uninstall
from virtfn_lab.progress import say


def test_uninstall_gives_everything_back_and_leaves_the_users_objects(cluster: Cluster) -> None:
    node = Node(cluster)
    before = functions(cluster)
    node.apply(policy("left", 2, LEFT))
    node.converged()
    assert functions(cluster) != before
    assert left_behind(node).files, "nothing was there to be removed"
    told = uninstall(cluster)
    say(told)

    left = left_in_the_end(node)
    assert (left.nodes, left.files, left.policies) == ((), (), ("left",))
    assert left.functions == before
    assert "1 of 1 nodes have given everything back" in told
    assert cluster.kubectl("get", "crd", "-o", "name").stdout.count("virtfn.dev") == len(CRDS)


def test_after_uninstalling_it_can_be_installed_again(cluster: Cluster) -> None:
    cluster.kubectl("delete", "svp", "--all")
    install(cluster)
    assert "0000:01:00.0 igb 1" in functions(cluster)
    uninstall(cluster)
