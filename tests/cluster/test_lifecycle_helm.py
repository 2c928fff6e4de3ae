"""Install, upgrade, rollback and uninstall by Helm, with policies and a VF in use; what is left is printed.

The first chart is that of the commit before the hooks, so what upgrades its CRD is the new chart's hook.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtfn_lab.cluster import Cluster
from virtfn_lab.lifecycle import (
    CRDS,
    NODES,
    POLICIES,
    install_chart,
    knows_slot,
    left_behind,
    left_in_the_end,
    older_chart,
    roll_back,
    uninstall_chart,
    upgrade,
)
from virtfn_lab.node import LEFT, RIGHT, Node, policy
from virtfn_lab.product import CHART, NAMESPACE, all_ready, functions, pod
from virtfn_lab.stand import JOURNAL, bound, offered

COUNTS = (3, 2)
"""VFs of the left PF and of the right one; a pod holds one of the left one's."""


@pytest.fixture(scope="module")
def node(cluster: Cluster) -> Iterator[Node]:
    """The node without virtfn and without its CRDs; so it is left, too."""
    _remove(cluster)
    found = Node(cluster)
    before = functions(cluster)
    yield found
    cluster.kubectl("delete", "pods", "--all", "--wait=true")
    if "virtfn" in cluster.helm("list", "-n", NAMESPACE, "-q").stdout.split():
        _remove(cluster)
    assert functions(cluster) == before


@pytest.fixture(scope="module")
def bare(node: Node) -> str:
    """The functions before the first touch."""
    return functions(node.cluster)


@pytest.fixture(scope="module")
def held(node: Node, bare: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a VF in use, under the older chart, which is installed with two policies."""
    assert "vfio-pci" not in bare
    install_chart(node.cluster, older_chart(tmp_path_factory.mktemp("chart")))
    _all_as_asked_after(node, apply=True)
    assert not knows_slot(node.cluster)
    node.apply(pod("holder", resource="virtfn.dev/left"))
    (address,) = node.holds("holder")
    return address


def test_an_upgrade_brings_the_crds_and_touches_no_function(node: Node, held: str) -> None:
    with node.untouched(held, LEFT, RIGHT):
        told = upgrade(node.cluster)
        _all_as_asked_after(node)
    assert f"{POLICIES} is upgraded, with 1 new fields" in told
    assert f"{NODES} is current" in told
    assert knows_slot(node.cluster)
    assert [name for name in left_behind(node).objects if "upgrade-crds" in name] == [], "the hook's own objects"


def test_an_upgrade_to_the_same_chart_finds_the_crds_current(node: Node, held: str) -> None:
    with node.untouched(held, LEFT, RIGHT):
        told = upgrade(node.cluster)
        _all_as_asked_after(node)
    assert f"{POLICIES} is current" in told


def test_a_rollback_to_the_older_chart_takes_no_field_away_and_touches_no_function(node: Node, held: str) -> None:
    with node.untouched(held, LEFT, RIGHT):
        roll_back(node.cluster, 1)
        _all_as_asked_after(node)
    assert knows_slot(node.cluster)
    with node.untouched(held, LEFT, RIGHT):
        upgrade(node.cluster)
        _all_as_asked_after(node)


def test_an_uninstallation_leaves_what_is_held_and_names_it(node: Node, held: str, bare: str) -> None:
    with node.untouched(held):
        told = uninstall_chart(node.cluster)
    left = left_in_the_end(node)
    assert "left on node node-1: " in told
    assert "held by pod default/holder" in told
    assert left.nodes == ("node-1",), "it stays as a record"
    assert left.policies == ("left", "right")
    assert left.files == (JOURNAL,)
    # The PF that nobody uses is as before; the other one waits for the pod.
    assert [line for line in left.functions.splitlines() if line.startswith(RIGHT[:7])] == [
        line for line in bare.splitlines() if line.startswith(RIGHT[:7])
    ]
    assert f"{held} vfio-pci" in left.functions
    with node.untouched(held):
        journal = json.loads(node.shell(f"cat {JOURNAL}"))
    assert [one["address"] for one in journal["value"]["originals"]] == [LEFT]


def test_installed_again_it_goes_on_from_the_policies_that_stayed(node: Node, held: str) -> None:
    with node.untouched(held):
        install_chart(node.cluster, CHART)
        _all_as_asked_after(node)


def test_with_nothing_in_use_nothing_is_left_but_the_users_policies(node: Node, bare: str) -> None:
    node.cluster.kubectl("delete", "pods", "--all", "--wait=true")
    told = uninstall_chart(node.cluster)
    left = left_in_the_end(node)
    assert "1 of 1 nodes have given everything back" in told
    assert left.functions == bare
    assert left.nodes == left.files == ()
    assert left.policies == ("left", "right")
    node.cluster.kubectl("delete", "crd", *CRDS)
    assert left_behind(node).policies == ()


def _all_as_asked_after(node: Node, *, apply: bool = False) -> None:
    """Wait until the chart's pods are there and the node is as the policies ask."""
    node.until("every pod of virtfn is ready", lambda: all_ready(node.cluster), 300)
    if apply:
        node.apply(policy("left", COUNTS[0], LEFT), policy("right", COUNTS[1], RIGHT))
    node.until(
        "both PFs are as asked, offered and converged",
        lambda: (bound(node, LEFT), bound(node, RIGHT)) == COUNTS and offered(node) == COUNTS and node.is_converged(),
        120,
    )


def _remove(cluster: Cluster) -> None:
    uninstall_chart(cluster)
    cluster.kubectl("delete", "crd", *CRDS)


def test_the_older_chart_is_older(tmp_path: Path) -> None:
    assert not (older_chart(tmp_path) / "templates/hooks.yaml").exists()
