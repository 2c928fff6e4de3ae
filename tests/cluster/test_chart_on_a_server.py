"""The rendered chart is what a real API server takes without a warning."""

from __future__ import annotations

from virtfn_lab.cluster import Cluster
from virtfn_lab.product import CHART, NAMESPACE, settings


def test_a_server_takes_every_object(cluster: Cluster) -> None:
    rendered = cluster.helm(
        "template", "virtfn", str(CHART), "--namespace", NAMESPACE, "--include-crds", *settings()
    ).stdout
    answer = cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=rendered)
    # What helm installed was not applied by kubectl, which warns of that; anything else is a fault.
    warnings = [line for line in answer.stderr.splitlines() if "last-applied-configuration" not in line]
    assert [line for line in warnings if line.strip()] == []
    assert answer.stdout.count("(server dry run)") == rendered.count("\nkind: ")


def test_helm_test_lists_the_functions_of_a_node(cluster: Cluster) -> None:
    try:
        done = cluster.helm("test", "virtfn", "--namespace", NAMESPACE, "--logs", "--timeout", "5m", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "igb" in done.stdout, "the emulated card's driver"
    finally:
        cluster.kubectl("delete", "pod", "virtfn-test", "--namespace", NAMESPACE, "--ignore-not-found")
