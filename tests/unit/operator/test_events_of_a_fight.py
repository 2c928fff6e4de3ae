"""Another program that undoes each repair: each side of the fight is one event, though each turn is a generation."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from virtfn_host.backoff import Allowance
from virtfn_operator.api import NODE_KIND, NODES
from virtfn_operator.api.conditions import read_conditions, transitions
from virtfn_operator.api.patch import patched
from virtfn_operator.apiserver.events import Events
from virtfn_operator.controller.decide import World, decide

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

SPEC = {"devices": [{"vendor": "8086"}], "virtualFunctions": {"count": 2, "pools": [{"resourceName": "fast"}]}}
NODE = {"metadata": {"name": "n1", "uid": "x", "labels": {}}}


class Posts:
    """An API server that only takes events."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    async def create(self, _: str, body: dict[str, Any]) -> dict[str, Any]:
        self.reasons.append(body["reason"])
        return body


class Cluster:
    """One node, its agent, the controller, and the events of the node."""

    def __init__(self, node: FakeNode) -> None:
        self.node, self.posts, self.now = node, Posts(), 1000.0
        self.agent = node.agent()
        self.agent._reports = Allowance(burst=10**6, every=1.0)  # its time does not pass here
        self.agent._machine._now = lambda: self.now
        self.agent._machine._wall = lambda: 1_700_000_000.0 + self.now
        self.events = Events(self.posts, instance="i", clock=lambda: self.now)  # type: ignore[arg-type]
        metadata = {"name": "fast", "uid": "u1", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
        self.policy: dict[str, Any] = {"metadata": metadata, "spec": SPEC}

    @property
    def repaired(self) -> bool:
        return self.node.drivers == ["vfio-pci", "vfio-pci"]

    def edit(self, **metadata: object) -> None:
        self.policy = {**self.policy, "metadata": {**self.policy["metadata"], **metadata}}

    def decide(self) -> None:
        now = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.now)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for write in decide(World(policies=[self.policy], states=[self.node.body], nodes=[NODE]), now).writes:
            if write.plural != NODES:
                self.policy = patched(self.policy, write.patch)
                continue
            old, new = self.node.body, patched(self.node.body, write.patch)
            edited = new.get("spec") != old.get("spec")
            generation = old["metadata"]["generation"] + edited
            self.node.body = {**new, "metadata": {**new["metadata"], "generation": generation}}
            self.agent.see(self.node.body)

    async def turn(self, seconds: float) -> None:
        self.now += seconds
        self.decide()
        old, known = read_conditions(self.node.status), len(self.node.statuses)
        await self.agent.turn()
        for status in self.node.statuses[known:]:
            new = read_conditions(status)
            await self.events.post(self.node.body, NODE_KIND, transitions(old, new), now="t")
            old = new

    async def fight(self, undoings: int) -> Counter[str]:
        """Undo so many repairs, wait for the last one, and return the events meanwhile."""
        known = len(self.posts.reasons)
        for _ in range(undoings):
            self.node.bind(0, "igbvf")
            await self.turn(1.0)
            while not self.repaired:
                await self.turn(5.0)
        for _ in range(3):
            await self.turn(1.0)
        return Counter(self.posts.reasons[known:])


async def test_a_fight_is_told_once_until_somebody_edits_the_policy(fake_node: type[FakeNode]) -> None:
    cluster = Cluster(fake_node())
    for _ in range(6):
        await cluster.turn(1.0)
    assert cluster.repaired
    before = cluster.node.body["metadata"]["generation"]
    first = await cluster.fight(7)
    assert cluster.node.body["metadata"]["generation"] - before >= 7, "turns are generations"
    assert first["Drifted"] == 1
    assert max(first.values()) == 1
    assert await cluster.fight(2) == Counter()
    for change in ({"generation": 2}, {"uid": "u2"}):
        cluster.edit(**change)
        for _ in range(6):
            await cluster.turn(1.0)
        again = await cluster.fight(2)
        assert again["Drifted"] == 1, change
        assert max(again.values()) == 1
