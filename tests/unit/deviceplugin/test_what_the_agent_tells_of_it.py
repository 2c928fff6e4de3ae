"""Plugin, kubelet and the agent together: each way in which pods are offered less is told with its cause."""

from collections.abc import Awaitable, Callable

import pytest
from plugin_node import FAST, Node

from virtfn_host.core.values.offered import PoolSet
from virtfn_host.linux import poolfile
from virtfn_host.linux.clock import since_boot
from virtfn_operator.agent.files import PoolFiles
from virtfn_operator.agent.not_offered import LASTS, Clock, KubeletOffer, compared, differences


def offered(node: Node) -> KubeletOffer:
    """What podresources would list: healthy devices of every registered resource."""
    names = node.kubelet.plugins
    found = {name: frozenset(d for d, h in node.kubelet.health(name).items() if h == "Healthy") for name in names}
    return KubeletOffer(devices=found)


def published(node: Node) -> PoolSet:
    found = poolfile.read(node.pools)
    assert found is not None
    return found


async def told(node: Node) -> list[str]:
    """What is told when it stays so."""
    wanted, offer, report = published(node), offered(node), await PoolFiles(node.pools, node.ledger).plugin()
    names = {(it.resource_name, d): 0.0 for it in differences(wanted, offer, report) for d in it.devices}
    outcome = compared(wanted, offer, report, names, Clock(now=max(since_boot(), LASTS)))
    return [found.message for found in outcome.offers.lasting]


async def refused(node: Node) -> None:
    node.kubelet.refuse = 1_000_000
    await node.kubelet.cut(FAST)


async def away(node: Node) -> None:
    await node.kubelet.stop()


async def ended(node: Node) -> None:
    await node.end_plugin()


async def unbound(node: Node) -> None:
    vf = node.vfs()[0]
    node.kernel.write(node.kernel.devices / str(vf) / "driver/unbind", str(vf))


async def clashing(node: Node) -> None:
    node.publish(node.pool(), node.pool("virtfn.dev/Fast", 1))


CASES: dict[str, tuple[Callable[[Node], Awaitable[None]], tuple[str, ...]]] = {
    "the kubelet refuses": (refused, ("published 3, the kubelet offers 0", "last refusal: refused by the test")),
    "no kubelet": (away, ("published 3, the kubelet offers 0", "has not been registered", "last refusal: ")),
    "no plugin": (ended, ("published 3, the kubelet offers 0", "does not run on this node")),
    "a function left its driver": (unbound, ("published 3, the kubelet offers 2 (", "and told the kubelet 2; its log")),
    "two names clash": (
        clashing,
        ("virtfn.dev/Fast: published 3, the kubelet offers 0", "is not served: it has the same"),
    ),
}


async def test_of_what_is_offered_nothing_is_told(node: Node) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    assert await told(node) == []


@pytest.mark.parametrize(("harm", "words"), CASES.values(), ids=CASES)
async def test_each_way_to_be_offered_less_is_told_with_its_cause(
    node: Node, harm: Callable[[Node], Awaitable[None]], words: tuple[str, ...]
) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    await harm(node)
    said: list[str] = []
    for _ in range(200):
        said = await told(node)
        if any(all(word in message for word in words) for message in said):
            return
        await _a_moment(node)
    raise AssertionError(said)


async def _a_moment(node: Node) -> None:
    """Let the plugin make a round."""
    turned = node.manager.turned
    if node.running.done():
        return
    await node.kubelet.until(lambda: node.manager.turned != turned)
