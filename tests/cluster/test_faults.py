"""What is broken from outside heals by itself; a running pod keeps its VF, and what is offered stays offered."""

from __future__ import annotations

import time

from virtfn_lab.node import LEFT, Node, policy
from virtfn_lab.product import NAMESPACE, allocatable, functions, pod

POOLS = "/run/virtfn/pools.json"
FREE_DRIVER = "/sys/bus/pci/drivers/vfio-pci/unbind"


def test_without_the_api_server_for_a_minute(node: Node) -> None:
    """Drift is repaired meanwhile, a pod keeps its VF, and an edit made right after is carried out."""
    held = _ready(node)
    other = next(a for a in _bound(node) if a != held)
    with node.untouched(held), node.cluster.api_server_away():
        until = time.monotonic() + 60
        node.shell(f"echo {other} > {FREE_DRIVER}")
        node.until("it is bound again", lambda: other in _bound(node), 40)
        while time.monotonic() < until:
            assert held in _bound(node)
            time.sleep(2)
    node.until("the API server answers", lambda: node.cluster.kubectl("get", "svn", check=False).returncode == 0)
    node.cluster.kubectl("delete", "pod", "holder")
    node.edit("left", 3)
    node.until("the edit is carried out", lambda: len(_bound(node)) == 3)


def test_a_pool_file_that_is_garbage_is_said_and_mended(node: Node) -> None:
    _ready(node)
    node.shell(f"cp {POOLS} /run/pools.good")
    _until_said(node, "serving what it said before", f"echo '{{' > {POOLS}.new; mv {POOLS}.new {POOLS}")
    assert allocatable(node.cluster, "virtfn.dev/left") == 7
    node.until("the agent mends it", lambda: "the pool file is good again" in _plugin_log(node))
    assert node.shell(f"cmp {POOLS} /run/pools.good") == ""
    assert allocatable(node.cluster, "virtfn.dev/left") == 7


def test_a_pool_file_that_is_gone_is_said_and_made_anew(node: Node) -> None:
    _ready(node)
    node.shell(f"cp {POOLS} /run/pools.good")
    _until_said(node, "no pool file", f"rm -f {POOLS}")
    node.until(
        "the agent makes it anew", lambda: node.cluster.node_exec(1, f"cmp {POOLS} /run/pools.good").returncode == 0
    )
    assert allocatable(node.cluster, "virtfn.dev/left") == 7


def _ready(node: Node) -> str:
    """One PF with 7 VFs, of which a pod holds the one that is returned."""
    node.apply(policy("left", 7, LEFT))
    node.until("the pool is there", lambda: allocatable(node.cluster, "virtfn.dev/left") == 7)
    node.apply(pod("holder", resource="virtfn.dev/left"))
    (held,) = node.holds("holder")
    node.converged()
    return held


def _bound(node: Node) -> list[str]:
    return [line.split()[0] for line in functions(node.cluster).splitlines() if "vfio-pci" in line.split()[1:2]]


def _until_said(node: Node, words: str, breaks: str) -> None:
    """The agent may mend it before the plugin looks: then it is broken again."""

    def said() -> bool:
        node.shell(breaks)
        return words in _plugin_log(node)

    node.until(f"the plugin says: {words}", said)


def _plugin_log(node: Node) -> str:
    words = ("logs", "-n", NAMESPACE, "ds/virtfn-deviceplugin", "--since=100s")
    return node.cluster.kubectl(*words, check=False).stdout
