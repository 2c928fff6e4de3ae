"""One cluster for all tests of this folder: real API server, kubelet, containerd and kernel, nothing mocked.

`VIRTFN_CLUSTER=running` takes the lab that already runs, with virtfn installed in it or not, and leaves it running.
test_kubelet_root_dir.py alone starts another one, after all others.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from virtfn_lab.cluster import Cluster, cannot_run, down, running, up
from virtfn_lab.node import Node
from virtfn_lab.product import NAMESPACE, functions, install
from virtfn_lab.progress import say

LONG = ("test_privileges_audit.py", "test_under_pressure_disk_and_clock.py", "test_under_pressure_killed.py")
"""What `make pressure` runs (VIRTFN_LONG=1): minutes each, with nothing else on the machine."""
collect_ignore = [] if os.environ.get("VIRTFN_LONG") else list(LONG)

LAST = ("test_privileges_audit.py", "test_uninstall.py", "test_kubelet_root_dir.py")
"""In this order: what the processes asked in all the other tests, the end, and a cluster in place of this one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Some come last; a test here may take minutes, and the first one may build Kubernetes before."""
    items.sort(key=lambda item: LAST.index(item.path.name) if item.path.name in LAST else -1)
    for item in items:
        item.add_marker(pytest.mark.timeout(1500, func_only=True))


@pytest.fixture(scope="session")
def bare_cluster() -> Iterator[Cluster]:
    """A cluster with one node with two igb PFs of 7 VFs each, without virtfn."""
    if (hindrance := cannot_run()) is not None:
        pytest.skip(f"NO CLUSTER TESTS HERE: {hindrance}")
    mine = os.environ.get("VIRTFN_CLUSTER") != "running"
    yield up() if mine else running()
    if mine:
        down()


@pytest.fixture(scope="session")
def cluster(bare_cluster: Cluster) -> Cluster:
    """The same with the chart installed, its defaults and our images."""
    if "virtfn" not in bare_cluster.helm("list", "-n", NAMESPACE, "-q").stdout.split():
        say(f"virtfn installed; every pod ready after {install(bare_cluster):.1f} s")
    return bare_cluster


@pytest.fixture
def kubectl(cluster: Cluster) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Kubectl as administrator."""
    return cluster.kubectl


@pytest.fixture
def node(cluster: Cluster) -> Iterator[Node]:
    """The node with virtfn on it and no policy; whatever the test leaves is removed, and given back."""
    found = Node(cluster)
    before = functions(cluster)
    began = time.monotonic()
    yield found
    cluster.kubectl("delete", "pods", "--all", "--wait=true")
    cluster.kubectl("delete", "svp", "--all")
    found.until("everything is given back", lambda: functions(cluster) == before, 90)
    found.converged()
    say(f"the test took {time.monotonic() - began:.1f} s")
