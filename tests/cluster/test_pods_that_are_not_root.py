"""A pod that is not root opens its VF where the runtime makes it the owner of its device nodes (docs/install.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from virtfn_lab.node import LEFT, Node, policy
from virtfn_lab.product import allocatable, pod

CONFIG = "/etc/containerd/config.toml"
OPTION = "device_ownership_from_security_context = true"
USER = 1000


def test_it_is_refused_by_default_and_opens_its_vf_with_the_runtimes_option(node: Node) -> None:
    node.apply(policy("fast", 2, LEFT))
    node.until("the VFs are allocatable", lambda: allocatable(node.cluster) == 2)
    node.apply(not_root("refused"))
    node.until("the pod failed", lambda: _phase(node, "refused") == "Failed")
    assert "Permission denied" in node.log("refused")
    assert "opened" not in node.log("refused")

    with devices_are_the_users(node):
        node.apply(not_root("owner"))
        node.holds("owner")
        assert node.cluster.shown("owner", "--", "id", "-u").strip() == str(USER)


def not_root(name: str) -> str:
    """A pod that opens its VF as an ordinary user."""
    document = json.loads(pod(name))
    document["spec"]["securityContext"] = {"runAsUser": USER, "runAsGroup": USER, "runAsNonRoot": True}
    return json.dumps(document)


@contextmanager
def devices_are_the_users(node: Node) -> Iterator[None]:
    """Within this context containerd makes a container's user the owner of its device nodes."""
    add = f"sed -i 's/^enable_cdi = true$/&\\n{OPTION}/' {CONFIG}"
    node.shell(f"cp {CONFIG} {CONFIG}.before && {add} && grep -qx '{OPTION}' {CONFIG}")
    restart_containerd(node)
    try:
        yield
    finally:
        node.shell(f"mv {CONFIG}.before {CONFIG}")
        restart_containerd(node)


def restart_containerd(node: Node) -> None:
    """End containerd, which is started again at once; containers go on. Wait until the new one answers."""
    before = node.shell("pgrep -x containerd").strip()
    node.shell(f"kill {before}")
    answers = f"now=$(pgrep -x containerd) && [ $now != {before} ] && ctr version"
    node.until("a new containerd answers", lambda: node.cluster.node_exec(1, answers).returncode == 0)


def _phase(node: Node, name: str) -> str:
    return node.cluster.kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}").stdout
