"""What another device plugin offers is not changed: the message names its resource, and nothing is withdrawn for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from evicting import evicting

from virtfn_host.core.values.offered import PoolSet, Registration, Registrations
from virtfn_operator.agent.loop import Agent
from virtfn_operator.agent.not_offered import KubeletOffer, PluginReport

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

FAST = "virtfn.dev/fast"
BLAMED = "is the device plugin running?"


class Shared:
    """A node whose functions another device plugin offers, too."""

    def __init__(self, node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
        self.node = node
        self.others: dict[str, frozenset[str]] = {}
        """By resource name, what it offers."""
        self._allocatable, self._offered = node.allocatable, node.offered
        monkeypatch.setattr(node, "allocatable", self.allocatable)
        monkeypatch.setattr(node, "offered", self.offered)

    async def allocatable(self) -> frozenset[str]:
        return (await self._allocatable()).union(*self.others.values())

    async def offered(self) -> KubeletOffer:
        found = await self._offered()
        return KubeletOffer(devices={**found.devices, **self.others}, kubelet=found.kubelet)

    def offers(self, resource: str, *indexes: int) -> None:
        self.others[resource] = frozenset(str(self.node.vfs[index]) for index in indexes)


async def serving(
    fake_node: type[FakeNode], monkeypatch: pytest.MonkeyPatch, wanted: Any = None
) -> tuple[Shared, Agent]:
    node = fake_node()
    agent = node.agent()
    agent.see(node.ask(wanted or node.config(2)))
    await agent.turn()
    assert node.healthy == 2
    return Shared(node, monkeypatch), agent


def message(node: FakeNode) -> str:
    return str(next(c["message"] for c in node.status["conditions"] if c["type"] == "Ready"))


def withdrawals(sets: list[PoolSet]) -> list[str]:
    return [str(d.address) for pools in sets for pool in pools.pools for d in pool.devices if not d.healthy]


@pytest.mark.parametrize(
    ("offers", "index"),
    [
        ({"intel.com/x": (0, 1)}, 0),
        ({"intel.com/x": (1,)}, 1),
        ({"nvidia.com/y": (0, 1), "intel.com/x": (0,)}, 0),
        ({"vendor.example/fast": (0,)}, 0),
    ],
)
@pytest.mark.parametrize("count", [0, 1, 4])
async def test_the_message_names_its_resource_and_nothing_is_withdrawn(
    fake_node: type[FakeNode],
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    offers: dict[str, tuple[int, ...]],
    index: int,
) -> None:
    shared, agent = await serving(fake_node, monkeypatch)
    node = shared.node
    for resource, indexes in offers.items():
        shared.offers(resource, *indexes)
    node.applied.clear()
    published = len(node.published_sets)
    agent.see(node.ask(node.config(count)))
    for _ in range(3):
        await agent.turn()
        assert node.ready() == ("False", "VfsInUse")
        text = f"{node.vfs[index]}: the kubelet offers it as {min(offers)}, so another device plugin has it, too"
        assert text in message(node)
        assert BLAMED not in message(node)
    assert node.applied == []
    assert count == 0 or withdrawals(node.published_sets[published:]) == []
    shared.others.clear()
    await agent.turn()
    assert node.ready() == ("True", "Converged")
    assert len(node.vfs) == count


async def test_a_pod_in_the_way_is_not_evicted_from_what_another_plugin_offers(
    fake_node: type[FakeNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, agent = await serving(fake_node, monkeypatch, evicting(2))
    node = shared.node
    node.hold(0)
    shared.offers("intel.com/x", 0)
    agent.see(node.ask(evicting(1)))
    await agent.turn()
    assert node.status["plan"]["evict"]["withdrawn"] is False
    (policy,) = node.status["policies"]
    assert (policy["state"], policy["reason"]) == ("Blocked", "VfsInUse")
    assert "the kubelet offers it as intel.com/x, so another device plugin has it, too" in policy["message"]
    assert BLAMED not in policy["message"] + message(node)
    shared.others.clear()
    await agent.turn()
    assert node.status["plan"]["evict"]["withdrawn"] is True


async def test_without_a_turn_it_is_no_obstacle(fake_node: type[FakeNode], monkeypatch: pytest.MonkeyPatch) -> None:
    shared, agent = await serving(fake_node, monkeypatch)
    shared.offers("intel.com/x", 0)
    agent.see(shared.node.ask(shared.node.config(4), may_change=False))
    await agent.turn()
    assert shared.node.ready() == ("False", "WaitingForTurn")


@pytest.mark.parametrize("others", [{}, {"intel.com/x": frozenset({"0000:05:10.0"})}, {"intel.com/x": frozenset()}])
async def test_other_functions_of_another_plugin_hold_up_nothing(
    fake_node: type[FakeNode], monkeypatch: pytest.MonkeyPatch, others: dict[str, frozenset[str]]
) -> None:
    shared, agent = await serving(fake_node, monkeypatch)
    shared.others = others
    agent.see(shared.node.ask(shared.node.config(4)))
    await agent.turn()
    assert shared.node.ready() == ("True", "Converged")


@pytest.mark.parametrize("resource", [FAST, "vendor.example/before"])
async def test_virtfns_own_plugin_is_asked_for_where_it_offers_the_function(
    fake_node: type[FakeNode], monkeypatch: pytest.MonkeyPatch, resource: str
) -> None:
    """Under a name that is published, or that the plugin says it serves."""
    shared, agent = await serving(fake_node, monkeypatch)
    node = shared.node
    serves = Registration(resource_name=resource, registered=True, since=990.0, refusal="")
    node.plugin_says = PluginReport(told=Registrations(boot_id=node.boot_id, registrations=(serves,)))
    shared.offers(resource, 0, 1)
    agent.see(node.ask(node.config(4)))
    await agent.turn()
    assert node.ready() == ("False", "VfsInUse")
    assert BLAMED in message(node)


async def test_a_name_of_virtfns_domain_is_its_own_plugins_though_that_says_nothing(
    fake_node: type[FakeNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, agent = await serving(fake_node, monkeypatch)
    shared.offers("virtfn.dev/before", 0)
    agent.see(shared.node.ask(shared.node.config(4)))
    await agent.turn()
    assert BLAMED in message(shared.node)


async def test_a_kubelet_that_does_not_answer_holds_it_up_as_before(
    fake_node: type[FakeNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, agent = await serving(fake_node, monkeypatch)
    shared.offers("intel.com/x", 0)
    shared.node.kubelet_away = True
    agent.see(shared.node.ask(shared.node.config(4)))
    await agent.turn()
    assert shared.node.ready() == ("False", "KubeletUnreachable")
    assert len(shared.node.vfs) == 2
