"""A scrape of the controller: who leads, and how many nodes of each policy are in which state."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from scraped import by, exported, names_of, scrape

from virtfn_host.metrics import CONTROLLER
from virtfn_operator.apiserver.gate import Gate
from virtfn_operator.controller.decide import Write
from virtfn_operator.controller.figures import PolicyFigures, PolicyNodes
from virtfn_operator.controller.metrics import measured
from virtfn_operator.controller.picture import ObjectKind, Picture
from virtfn_operator.controller.reconcile import Reconciler


def policy(name: str, **nodes: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"nodes": {"matching": 9, **nodes}}}


def write(name: str, **nodes: Any) -> Write:
    return Write(plural="sriovpolicies", name=name, subresource="status", patch={"status": {"nodes": nodes}}, about={})


def policy_nodes(bodies: Sequence[Any], writes: Sequence[Write]) -> PolicyNodes:
    picture, figures = Picture(), PolicyFigures()
    for body in bodies:
        picture.objects[ObjectKind.POLICY].tell("ADDED", body)
    figures.take(picture.changes())
    figures.written(writes)
    return figures.policy_nodes


class Tables:
    """An API server that has these policies and takes every write."""

    def __init__(self, *policies: dict[str, Any]) -> None:
        self.policies = list(policies)
        self.gate = Gate()

    async def each_page(self, path: str, take: Callable[[Any], None], **_: Any) -> str:
        take(self.policies if path.endswith("sriovpolicies") else [])
        return ""

    async def patch(self, path: str, patch: Any) -> Any:
        return {"metadata": {"name": path.split("/")[-2]}, **patch}

    async def create(self, path: str, body: Any) -> Any:
        return {}


def reconciler_of(kube: Any) -> Reconciler:
    return Reconciler(kube, instance="c-1")


async def test_a_leaders_scrape_has_every_metric_of_a_controller_and_no_other(unused_tcp_port: int) -> None:
    reconciler = reconciler_of(Tables(policy("fast", ready=3, failed=1)))
    await reconciler.reconcile()
    reconciler.last_turn = 7.0
    reconciler.turns.took(0.1)
    made = lambda: measured(reconciler, leads=True, version="1", now=10.0, wall=2e9)  # noqa: E731
    async with exported(unused_tcp_port, made):
        found = await scrape(unused_tcp_port)
    assert set(found) == names_of(CONTROLLER)
    assert found["virtfn_leader"] == {(): 1}
    assert found["virtfn_last_turn_timestamp_seconds"] == {(): 2e9 - 3}
    assert {policy for policy, _ in by(found["virtfn_policy_nodes"], "policy", "state")} == {"fast"}


async def test_a_standby_says_that_it_stands_by_and_nothing_of_policies(unused_tcp_port: int) -> None:
    made = lambda: measured(reconciler_of(Tables()), leads=False, version="1", now=1.0, wall=2e9)  # noqa: E731
    async with exported(unused_tcp_port, made):
        found = await scrape(unused_tcp_port)
    assert found["virtfn_leader"] == {(): 0}
    assert "virtfn_policy_nodes" not in found
    assert "virtfn_last_turn_timestamp_seconds" not in found


async def test_a_policy_that_is_gone_has_no_series() -> None:
    kube = Tables(policy("fast", ready=1), policy("slow", ready=2))
    reconciler = reconciler_of(kube)
    await reconciler.reconcile()
    assert {name for name, _ in reconciler.policy_nodes} == {"fast", "slow"}
    reconciler.tell(ObjectKind.POLICY, "DELETED", policy("fast"))
    await reconciler.reconcile()
    assert {name for name, _ in reconciler.policy_nodes} == {"slow"}


@pytest.mark.parametrize(
    ("writes", "ready", "failed"),
    [((), 3, 1), ((write("fast", ready=4, failed=0),), 4, 0), ((write("fast", failed=2),), 3, 2)],
    ids=["nothing written", "all of it", "a part of it"],
)
def test_the_numbers_are_those_after_the_writes(writes: tuple[Write, ...], ready: int, failed: int) -> None:
    found = policy_nodes([policy("fast", ready=3, failed=1)], writes)
    assert found["fast", "ready"] == ready
    assert found["fast", "failed"] == failed
    assert found["fast", "blocked"] == 0


@pytest.mark.parametrize("body", [{}, {"metadata": 1}, policy("x", ready="3")])
def test_an_object_that_cannot_be_read_has_no_numbers(body: dict[str, Any]) -> None:
    assert sum(policy_nodes([body], ()).values()) == 0


def test_a_policy_whose_first_status_is_written_now_has_numbers() -> None:
    found = policy_nodes([{"metadata": {"name": "new"}}], [write("new", ready=1)])
    assert found["new", "ready"] == 1
