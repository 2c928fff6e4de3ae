"""What is broken from outside heals by itself; a running pod keeps its VF, and what is offered stays offered."""

from __future__ import annotations

import time

from virtfn_lab import containers
from virtfn_lab.containers import AGENT, PLUGIN
from virtfn_lab.node import LEFT, Node, policy
from virtfn_lab.product import allocatable, functions, pod

PLUGIN_PORT = 8081
POOLS = "/run/virtfn/pools.json"
VFS = 3
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
            time.sleep(2)  # the minute is what is tried
    node.until("the API server answers", lambda: node.cluster.kubectl("get", "svn", check=False).returncode == 0)
    node.cluster.kubectl("delete", "pod", "holder")
    node.edit("left", 2)
    node.converged()
    assert len(_bound(node)) == 2


def test_a_pool_file_that_is_garbage_is_said_and_mended(node: Node) -> None:
    _ready(node)
    _broken_said_and_mended(node, f"echo '{{' > {POOLS}.new; mv {POOLS}.new {POOLS}", "cannot be read")


def test_a_pool_file_that_is_gone_is_said_and_made_anew(node: Node) -> None:
    _ready(node)
    _broken_said_and_mended(node, f"rm {POOLS}", "no pool file")


def _broken_said_and_mended(node: Node, breaks: str, words: str) -> None:
    """Broken once, while the agent stands still: nobody mends it before the plugin has seen it."""
    good = node.file(POOLS)
    assert good is not None
    assert _well(node)
    mark = node.mark(PLUGIN)
    with node.frozen(AGENT):
        node.shell(breaks)
        broken = node.file(POOLS)
        node.until("the plugin's health says so", lambda: words in node.health(PLUGIN, PLUGIN_PORT), 10)
        assert allocatable(node.cluster, "virtfn.dev/left") == VFS
        assert node.file(POOLS) == broken, "somebody mended it while the agent stood still"
    node.until("the agent makes it anew", lambda: (now := node.file(POOLS)) != broken and now is not None)
    node.until("the plugin's health is good", lambda: _well(node), 10)
    mended = node.file(POOLS)
    assert mended is not None
    assert mended.inode != good.inode
    assert mended.content == good.content
    node.until("the log says both", lambda: _says_once(node.said_since(mark), words, "the pool file is good again"), 10)
    assert allocatable(node.cluster, "virtfn.dev/left") == VFS
    assert containers.restarts(node.cluster)[mark.container.pod, PLUGIN] == mark.container.restarts


def _well(node: Node) -> bool:
    """The text goes on with how each resource stands with the kubelet."""
    return node.health(PLUGIN, PLUGIN_PORT).partition(";")[0] == "ok"


def _says_once(lines: list[str], *several: str) -> bool:
    return all(sum(words in line for line in lines) == 1 for words in several)


def _ready(node: Node) -> str:
    """One PF with VFs, of which a pod holds the one that is returned."""
    node.apply(policy("left", VFS, LEFT))
    node.until("the pool is there", lambda: allocatable(node.cluster, "virtfn.dev/left") == VFS)
    node.apply(pod("holder", resource="virtfn.dev/left"))
    (held,) = node.holds("holder")
    node.converged()
    return held


def _bound(node: Node) -> list[str]:
    return [line.split()[0] for line in functions(node.cluster).splitlines() if "vfio-pci" in line.split()[1:2]]
