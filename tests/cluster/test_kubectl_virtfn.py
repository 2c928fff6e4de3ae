"""`kubectl virtfn` on a real cluster: what it says of a policy, a pod and a node, and `virtfn` in `host`."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from virtfn_lab.node import LEFT, Node, policy
from virtfn_lab.product import allocatable, pod

RESOURCE = "virtfn.dev/left"
NODE = "node-1"
Asked = Callable[..., tuple[int, Any]]


def test_status_why_and_topology_tell_of_a_policy_and_the_pod_that_holds_its_vf(node: Node, virtfn: Asked) -> None:
    node.apply(policy("left", 3, LEFT), pod("held", 1, RESOURCE))
    (held,) = node.holds("held")
    node.converged()
    node.until("the status names the holder", lambda: "default/held" in str(node.status()))
    assert virtfn("status")[0] == 0
    status, document = virtfn("why", "policy/left")
    assert (status, document["verdict"]["stand"]) == (0, "Ready")
    status, document = virtfn("why", "pod/held", "--namespace", "default")
    assert (status, document["verdict"]["reason"]) == (0, "Running")
    assert [fact["text"] for fact in document["facts"] if fact["label"] == "has"] != []
    status, document = virtfn("topology", NODE)
    functions = [function for place in document["places"] for function in place["functions"]]
    (left,) = [function for function in functions if function["address"] == LEFT]
    assert ["pod default/held"] in [run["holders"] for run in left["runs"]]
    assert held


def test_a_pod_that_finds_no_vf_is_told_who_has_them(node: Node, virtfn: Asked) -> None:
    node.apply(policy("left", 1, LEFT))
    node.until("the VF is allocatable", lambda: allocatable(node.cluster, RESOURCE) == 1)
    node.apply(pod("first", 1, RESOURCE))
    node.holds("first")
    node.until("the status names the holder", lambda: "default/first" in str(node.status()))
    node.apply(pod("second", 1, RESOURCE))
    node.until(
        "the second has no node",
        lambda: virtfn("why", "pod/second", "-n", "default")[1]["verdict"]["reason"] != "Starting",
    )
    status, document = virtfn("why", "pod/second", "-n", "default")
    assert (status, document["verdict"]["reason"]) == (3, "VfsInUse")
    assert document["points"][0]["waitsFor"] == ["pod default/first"]


def test_a_change_that_waits_for_a_pod_is_blocked_everywhere(node: Node, virtfn: Asked) -> None:
    node.apply(policy("left", 3, LEFT), pod("held", 1, RESOURCE))
    node.holds("held")
    node.edit("left", 2)
    node.until("it waits", lambda: node.condition()["reason"] == "VfsInUse")
    node.until("the policy says so", lambda: virtfn("rollout", "status", "left")[0] == 3)
    for words in (("status",), ("why", "left"), ("why", f"node/{NODE}")):
        status, document = virtfn(*words)
        assert status == 3
        assert "default/held" in str(document)


def test_list_and_explain_run_virtfn_in_the_host_container(node: Node, virtfn: Asked) -> None:
    status, document = virtfn("list", NODE)
    assert status == 0
    assert LEFT in [row["address"] for row in document["functions"]]
    assert document["unreadable"] == []
    status, document = virtfn("explain", NODE, LEFT)
    assert status in (0, 1)
    assert document["couldDrive"]
    assert virtfn("explain", NODE, "0000:ff:1f.7")[0] == 4


def test_check_finds_the_namespace_and_the_installed_api(virtfn: Asked) -> None:
    _, document = virtfn("check")
    texts = [finding["text"] for finding in document["findings"]]
    assert any("namespace virtfn-system" in text for text in texts)
    assert any("virtfn's API is here already" in text for text in texts)


def test_the_report_names_neither_node_nor_policy(node: Node, virtfn: Asked, tmp_path: Path) -> None:
    node.apply(policy("left-of-the-bank", 2, LEFT))
    node.converged()
    path = tmp_path / "report.tar.gz"
    assert virtfn("report", "--output", str(path))[0] == 0
    with tarfile.open(path) as bundle:
        files = {it.name: bundle.extractfile(it).read().decode() for it in bundle}  # type: ignore[union-attr]
    whole = "\n".join([*files, *files.values()])
    assert "left-of-the-bank" not in whole
    assert "eyJ" not in whole
    assert any(name.endswith(".host.log") and text for name, text in files.items())
    assert json.loads(files["report/values.json"])["controller"]["replicas"]
