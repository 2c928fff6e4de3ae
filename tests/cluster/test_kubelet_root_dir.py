"""Where the kubelet has another root-dir, virtfn serves pods with one value of the chart.

This needs a cluster of its own, in place of the one that the other tests share; so it comes last (conftest.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from virtfn_lab.cluster import cannot_run, down, up
from virtfn_lab.node import Node
from virtfn_lab.paths import repository
from virtfn_lab.product import allocatable, functions, install, pod
from virtfn_lab.progress import say

ROOT_DIR, DEFAULT = "/srv/k8s/kubelet", "/var/lib/kubelet"
FAST = (repository() / "examples/policy-fast.yaml").read_text()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Node]:
    """A node whose kubelet has that root-dir, with virtfn on it and no policy."""
    if (hindrance := cannot_run()) is not None:
        pytest.skip(f"NO CLUSTER TESTS HERE: {hindrance}")
    if os.environ.get("VIRTFN_CLUSTER") == "running":
        pytest.skip("the running lab stays: its kubelet would need another root-dir")
    cluster = up(kubelet_root=ROOT_DIR)
    say(f"virtfn installed; every pod ready after {install(cluster, f'kubelet.rootDir={ROOT_DIR}'):.1f} s")
    yield Node(cluster)
    down()


def test_the_kubelet_moves_one_folder_and_leaves_the_other(elsewhere: Node) -> None:
    """The counter-proof of the next test: nothing is where the chart does not look for it."""
    elsewhere.shell(
        f"[ -S {ROOT_DIR}/pod-resources/kubelet.sock ] && [ -S /var/lib/kubelet/device-plugins/kubelet.sock ]"
    )
    elsewhere.shell(f"[ ! -e /var/lib/kubelet/pod-resources ] && [ ! -e {ROOT_DIR}/device-plugins ]")


def test_a_pod_gets_its_vf_and_the_node_knows_its_holder(elsewhere: Node) -> None:
    """The device plugin needs the folder that stays, the agent the one that moved: only the kubelet names a holder."""
    before = functions(elsewhere.cluster)
    elsewhere.apply(FAST)
    elsewhere.until("14 VFs are allocatable", lambda: allocatable(elsewhere.cluster) == 14)
    elsewhere.apply(pod("holder"))
    elsewhere.holds("holder")
    elsewhere.until("the SriovNode names the holder", lambda: "default/holder" in str(elsewhere.status()))
    elsewhere.cluster.kubectl("delete", "pod", "holder")
    elsewhere.cluster.kubectl("delete", "svp", "fast")
    elsewhere.until("everything is as it was", lambda: functions(elsewhere.cluster) == before)
    elsewhere.converged()
