"""One cluster for all tests of this folder: real API server, kubelet, containerd and kernel, nothing mocked.

`VIRTFN_CLUSTER=running` takes the lab that already runs, with virtfn installed in it or not, and leaves it running.
`another_node` is of a second cluster (`make second-cluster`).
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from virtfn_kubectl.cluster import Ran
from virtfn_kubectl.verbs import run
from virtfn_lab.cluster import CONSUMERS, Cluster, cannot_run, down, running, up
from virtfn_lab.go_tools import OLDER
from virtfn_lab.kubelet_cases import BACK, BOTH, become, served
from virtfn_lab.node import LEFT, Node
from virtfn_lab.product import NAMESPACE, functions, install
from virtfn_lab.progress import say

LONG = ("test_privileges_audit.py", "test_under_pressure_disk_and_clock.py", "test_under_pressure_killed.py")
"""What `make pressure` runs (VIRTFN_LONG=1): minutes each, with nothing else on the machine."""
ANOTHER = ("test_kubelet_root_dir.py", "test_shared_group.py", "test_reboot.py")
"""What `make second-cluster` runs (VIRTFN_SECOND=1): all with `another_node`."""
collect_ignore = [
    *([] if os.environ.get("VIRTFN_LONG") else LONG),
    *([] if os.environ.get("VIRTFN_SECOND") else ANOTHER),
]
OF_CONSUMERS = bool(os.environ.get("VIRTFN_CONSUMERS"))
"""Whether to run what `make consumers` runs, on a lab with consumers' images and cards."""
_OF_CONFORMANCE = ["test_kubelet_cases_*.py", "test_upgrades.py"]
"""What `make conformance` runs (VIRTFN_LONG=1), for the same reason."""
OF_LIFECYCLE = bool(os.environ.get("VIRTFN_LIFECYCLE"))
"""Whether to run what `make lifecycle` runs: minutes each, and one of them removes the chart and its CRDs."""
collect_ignore_glob = [
    *([] if OF_LIFECYCLE else ["test_lifecycle_*.py"]),
    *([] if OF_CONSUMERS else ["test_consumer_*.py"]),
    *([] if os.environ.get("VIRTFN_LONG") else _OF_CONFORMANCE),
]

VALUES = (
    *(["devicePlugin.cdi=true"] if OF_CONSUMERS else []),
    *(["resourceDomains={intel.com,openshift.io}"] if OF_LIFECYCLE else []),
)
"""Values of the chart beside its defaults."""

LAST = (
    "test_privileges_audit.py",
    "test_uninstall.py",
    "test_lifecycle_helm.py",
    *ANOTHER,
)
"""In this order: what the processes asked in all the other tests, the end, and those with `another_node`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Some come last; a test here may take minutes, and the first one may build Kubernetes before."""
    items.sort(key=lambda item: LAST.index(item.path.name) if item.path.name in LAST else -1)
    for item in items:
        item.add_marker(pytest.mark.timeout(1500, func_only=True))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what an older Kubernetes of the lab does not have; the marker says why."""
    needs, older = item.get_closest_marker("kubernetes"), os.environ.get(OLDER)
    if needs and older and int(older.partition(".")[2]) < needs.args[0]:
        pytest.skip(f"NOT ON KUBERNETES {older}: {needs.args[1]}")


ROOT_DIR = "/srv/k8s/kubelet"
"""Root-dir of the kubelet of `another_node`."""


@pytest.fixture(scope="session")
def root_dir() -> str:
    """Return the root-dir of the kubelet of `another_node`."""
    return ROOT_DIR


@pytest.fixture(scope="session")
def bare_cluster() -> Iterator[Cluster]:
    """A cluster with one node with two igb PFs of 7 VFs each, without virtfn."""
    if (hindrance := cannot_run()) is not None:
        pytest.skip(f"NO CLUSTER TESTS HERE: {hindrance}")
    mine = os.environ.get("VIRTFN_CLUSTER") != "running"
    yield _started() if mine else running()
    if mine:
        down()


def _started() -> Cluster:
    return up(topology="consumers", consumers=CONSUMERS) if OF_CONSUMERS else up()


@pytest.fixture(scope="session")
def cluster(bare_cluster: Cluster) -> Cluster:
    """The same with the chart installed, its defaults and our images."""
    if "virtfn" not in bare_cluster.helm("list", "-n", NAMESPACE, "-q").stdout.split():
        say(f"virtfn installed; every pod ready after {install(bare_cluster, *VALUES):.1f} s")
    return bare_cluster


@pytest.fixture(scope="session")
def another_node() -> Iterator[Node]:
    """A node with virtfn that can be rebooted, whose kubelet has another root-dir, and whose cards are two igb PFs and
    two functions in one IOMMU group: one cluster for all that the first one lacks, because each takes minutes.
    """
    if (hindrance := cannot_run()) is not None:
        pytest.skip(f"NO CLUSTER TESTS HERE: {hindrance}")
    if os.environ.get("VIRTFN_CLUSTER") == "running":
        pytest.skip("the running lab stays: these tests need another one in its place")
    cluster = up(topology="contract", kubelet_root=ROOT_DIR, reboots=True)
    say(f"virtfn installed; every pod ready after {install(cluster, f'kubelet.rootDir={ROOT_DIR}'):.1f} s")
    yield Node(cluster)
    down()


@pytest.fixture(scope="module")
def resource(cluster: Cluster) -> Iterator[str]:
    """A resource with two VFs, for the kubelet's cases."""
    with served(Node(cluster), "two", 2, LEFT) as name:
        yield name


@pytest.fixture
def stand(cluster: Cluster, resource: str) -> Iterator[Node]:
    """The node with both VFs free."""
    node = Node(cluster)
    become(node, resource, BOTH, BACK)
    yield node
    cluster.kubectl("delete", "pods", "--all", "--wait=true")


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


@pytest.fixture
def virtfn(node: Node, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any]]:
    """Return a function that runs a verb of `kubectl virtfn` with --json, and returns status and document."""

    def program(words: Sequence[str], seconds: float, given: str | None = None) -> Ran:
        tool = node.cluster.helm if words[0] == "helm" else node.cluster.kubectl
        done = tool(*words[1:], check=False, timeout=seconds)
        return Ran(status=done.returncode, out=done.stdout, err=done.stderr)

    def asked(*words: str) -> tuple[int, Any]:
        capsys.readouterr()
        status = run([*words, "--json"], {}, program)
        return status, json.loads(capsys.readouterr().out)

    return asked
