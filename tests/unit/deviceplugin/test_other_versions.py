"""A pool file of another version is served as far as it is known; one that cannot be read leaves what is served."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from documents import of_version_1, sealed
from plugin_node import BOOT, FAST, Node

from virtfn_host.core.values.codec import encode
from virtfn_host.core.values.envelope import dumps
from virtfn_host.core.values.offered import PoolSet


def said(node: Node) -> tuple[PoolSet, Any]:
    """What the node offers, and its JSON."""
    pools = PoolSet(boot_id=BOOT, pools=(node.pool(),))
    return pools, encode(pools)


async def test_a_field_more_and_a_reason_that_nobody_knows_are_served(node: Node) -> None:
    pools, told = said(node)
    told["pools"][0] |= {"sharing": {"most": 4}}
    told["pools"][0]["devices"][0] |= {"healthy": False, "reason": "TooHot", "celsius": 120}
    told["pools"][0]["devices"][1] |= {"healthy": True, "reason": "GettingHot"}
    node.pools.write_text(sealed(pools, told, writer="9.9"))
    first, second, third = map(str, node.vfs())
    want = {first: "Unhealthy", second: "Unhealthy", third: "Healthy"}
    await node.kubelet.until(lambda: node.kubelet.health(FAST) == want)
    assert node.manager.complaint == ""
    assert (await node.kubelet.allocate(FAST, third)).envs["PCIDEVICE_VIRTFN_DEV_FAST"] == third
    for withdrawn in (first, second):
        with pytest.raises(grpc.aio.AioRpcError, match="is withdrawn: Unreadable"):
            await node.kubelet.allocate(FAST, withdrawn)


TROUBLE: dict[str, tuple[Callable[[PoolSet, Any], str], str]] = {
    "empty": (lambda pools, told: "", "it is empty"),
    "half": (lambda pools, told: dumps(pools)[:90], "it is cut off"),
    "of a version that nobody can read": (
        lambda pools, told: sealed(pools, [told], version=3),
        "; it has version 3, this program knows 2: upgrade virtfn",
    ),
    "with a field that is needed": (
        lambda pools, told: sealed(pools, {**told, "pools": []}, needs=["pools.gate"]),
        "needs 'pools.gate', which only a newer version of virtfn knows: upgrade virtfn",
    ),
}


async def test_one_that_cannot_be_read_at_first_is_served_when_it_is_good(node: Node) -> None:
    pools, told = said(node)
    node.pools.write_text(sealed(pools, told, needs=["pools.gate"]))
    await node.kubelet.until(lambda: "it needs 'pools.gate'" in node.manager.complaint)
    assert node.manager.servers == {}
    node.pools.write_text(dumps(pools))
    await node.all_healthy()
    assert node.manager.complaint == ""


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_what_cannot_be_read_leaves_what_is_served_until_it_is_good_again(node: Node, trouble: str) -> None:
    write, complaint = TROUBLE[trouble]
    pools, told = said(node)
    node.publish(*pools.pools)
    await node.all_healthy()
    node.pools.write_text(write(pools, told))
    await node.kubelet.until(lambda: bool(node.manager.complaint))
    assert complaint in node.manager.complaint
    assert "the agent writes it anew" in node.manager.complaint
    assert list(node.kubelet.health(FAST).values()) == ["Healthy"] * 3
    node.pools.write_text(of_version_1(PoolSet(boot_id=BOOT, pools=())))
    await node.kubelet.until(lambda: not node.manager.complaint and not node.manager.servers)
