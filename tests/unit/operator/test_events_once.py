"""What flaps is told once an hour; an edit, another object or another reason is another story."""

from typing import Any

import pytest
from api_server import ApiServer

from virtfn_operator.api import NODE_KIND, POLICY_KIND
from virtfn_operator.api.conditions import Condition, Transition
from virtfn_operator.apiserver.events import Events
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.settings import ApiServer as Where


def transition(reason: str = "Drifted", status: str = "False", generation: int = 1) -> Transition:
    new = Condition(type="Ready", status=status, reason=reason, message="m", observed_generation=generation)
    return Transition(old=None, new=new)


ABOUT: dict[str, Any] = {"metadata": {"name": "n1", "uid": "u1"}}


def asking(*policies: tuple[object, object]) -> dict[str, Any]:
    """The node that is asked for policies, each known by its uid and generation."""
    return {**ABOUT, "spec": {"policies": [{"uid": uid, "generation": generation} for uid, generation in policies]}}


async def posted(*stories: tuple[float, dict[str, Any], Transition], kind: str = NODE_KIND) -> int:
    api, now = ApiServer(), 0.0
    await api.start()
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=1) as kube:
        events = Events(kube, instance="i", clock=lambda: now)
        for now, about, change in stories:  # noqa: B007
            await events.post(about, kind, [change], now="2026-11-23T22:04:05.123456Z")
    await api.stop()
    return len(api.seen)


async def test_a_node_that_flaps_for_an_hour_tells_each_side_of_it_once() -> None:
    sides = (transition("Drifted"), transition("Converged", "True"))
    assert await posted(*((n * 10.0, ABOUT, sides[n % 2]) for n in range(350))) == 2


async def test_after_an_hour_it_is_told_again() -> None:
    assert await posted((0.0, ABOUT, transition()), (3599.0, ABOUT, transition()), (3600.0, ABOUT, transition())) == 2


@pytest.mark.parametrize(
    ("about", "change"),
    [
        (ABOUT, transition("VfsInUse")),
        (ABOUT, transition(status="Unknown")),
        ({"metadata": {"name": "n2", "uid": "u1"}}, transition()),
        ({"metadata": {"name": "n1", "uid": "u2"}}, transition()),
    ],
)
async def test_another_story_is_told_at_once(about: dict[str, Any], change: Transition) -> None:
    assert await posted((0.0, ABOUT, transition()), (1.0, about, change)) == 2


async def test_an_edited_policy_tells_its_own_story_at_once() -> None:
    assert await posted((0.0, ABOUT, transition()), (1.0, ABOUT, transition(generation=2)), kind=POLICY_KIND) == 2


async def test_the_turns_of_a_node_are_no_edit() -> None:
    node = asking(("p1", 1))
    assert await posted(*((n * 10.0, node, transition(generation=n)) for n in range(350))) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((("p1", 1),), (("p1", 2),)),
        ((("p1", 1),), (("p2", 1),)),
        ((("p1", 1),), (("p1", 1), ("p2", 1))),
        ((("p1", 1), ("p2", 1)), (("p1", 1), ("p2", 2))),
        ((("p1", 1), ("p2", 1)), (("p2", 1),)),
        ((("p1", 1),), ()),
    ],
    ids=["edited", "made anew", "another one", "one of two edited", "one of two deleted", "deleted"],
)
async def test_an_edit_of_what_a_node_is_asked_for_is_told_at_once(before: Any, after: Any) -> None:
    assert await posted((0.0, asking(*before), transition()), (1.0, asking(*after), transition())) == 2


@pytest.mark.parametrize("spec", [None, [], {"policies": 1}, {"policies": [1, {"uid": [], "generation": {}}]}])
async def test_a_node_whose_spec_cannot_be_read_tells_its_story_once(spec: object) -> None:
    assert await posted(*((n * 1.0, {**ABOUT, "spec": spec}, transition(generation=n)) for n in range(3))) == 1


async def test_the_order_of_the_policies_is_no_edit() -> None:
    one, other = asking(("p1", 1), ("p2", 1)), asking(("p2", 1), ("p1", 1))
    assert await posted((0.0, one, transition()), (1.0, other, transition())) == 1
