"""A status lists some rejections only; a policy that is refused is not called accepted all the same."""

from typing import Any

import pytest

from virtfn_host.core.values.desired import Rejected
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.agent.report import LIST_LIMIT, _rejected
from virtfn_operator.api.node_state import REJECTED_LIMIT, NodeState, read_node
from virtfn_operator.api.policy import read_policy
from virtfn_operator.controller.status import policy_status

NOW = "2026-01-01T00:00:00Z"
DEVICE = "0000:3b:00.0"
POLICY = read_policy(
    {
        "metadata": {"name": "c", "uid": "u-c", "generation": 1},
        "spec": {"devices": [{"vendor": "8086"}], "virtualFunctions": {"count": 4, "pools": [{"resourceName": "c"}]}},
    }
)


def others(number: int) -> list[dict[str, Any]]:
    return [
        {"policy": "a", "device": f"0000:{n:02x}:00.0", "reason": "IndexTaken", "message": "taken"}
        for n in range(number)
    ]


def node(name: str, rejected: list[dict[str, Any]], **outcome: Any) -> NodeState:
    told = {
        "name": "c",
        "uid": "u-c",
        "generation": 1,
        "state": "Ready",
        "reason": "Converged",
        "message": "",
        **outcome,
    }
    status = {"observedGeneration": 1, "policies": [told], "rejected": rejected}
    return read_node({"metadata": {"name": name, "generation": 1}, "spec": {}, "status": status})


def refused(reason: str, message: str = "b asks for 8", **outcome: Any) -> dict[str, Any]:
    return {"state": "Rejected", "reason": reason, "message": message, "device": DEVICE, **outcome}


def conditions(*nodes: NodeState) -> dict[str, tuple[str, str]]:
    status = policy_status(POLICY, nodes, {}, NOW)
    return {it["type"]: (it["status"], it["reason"]) for it in status["conditions"]}


@pytest.mark.parametrize("listed", [0, 8, LIST_LIMIT, REJECTED_LIMIT])
@pytest.mark.parametrize("reason", ["CountConflict", "IndexTaken", "NothingLeft", "FunctionTaken", "TooManyVfs"])
@pytest.mark.parametrize("beside", [(), (node("good", []),)])
def test_a_policy_whose_rejections_are_not_listed_is_not_accepted(
    listed: int, reason: str, beside: tuple[NodeState, ...]
) -> None:
    bad = node("bad", others(listed), **refused(reason))
    assert conditions(bad, *beside) == {"Accepted": ("False", reason), "Ready": ("False", reason)}
    status = policy_status(POLICY, [bad, *beside], {}, NOW)
    assert status["problems"] == [{"node": "bad", "device": DEVICE, "reason": reason, "message": "b asks for 8"}]
    assert status["conditions"][0]["message"] == "node bad: b asks for 8"


def test_a_listed_rejection_is_told_once() -> None:
    own = {"policy": "c", "device": DEVICE, "reason": "CountConflict", "message": "b asks for 8"}
    assert len(policy_status(POLICY, [node("n", [own], **refused("CountConflict"))], {}, NOW)["problems"]) == 1


@pytest.mark.parametrize("reason", ["Overheated", ""])
def test_the_word_of_another_version_and_a_status_without_messages_are_rejections_too(reason: str) -> None:
    found = conditions(node("n", [], **refused(reason, message="")))
    assert found["Accepted"] == ("False", "Unreadable")


def test_a_node_without_a_device_rejects_nothing() -> None:
    nothing = node("n", [], state="WithoutDevice", reason="NoMatchingDevice")
    assert conditions(nothing) == {"Accepted": ("True", "Converged"), "Ready": ("False", "NoMatchingDevice")}


def claims(*numbers: tuple[str, int]) -> list[Rejected]:
    return [
        Rejected(policy=name, device=f"0000:{n:02x}:00.0", reason=Reason.INDEX_TAKEN, message="taken")
        for name, number in numbers
        for n in range(number)
    ]


@pytest.mark.parametrize(
    ("numbers", "more"),
    [((("a", 33), ("c", 1)), 2), ((("a", 200), ("b", 200), ("c", 1)), 369), ((("a", 31), ("c", 1)), 0)],
)
def test_an_agent_lists_one_rejection_of_each_policy_before_a_second_one(
    numbers: tuple[tuple[str, int], ...], more: int
) -> None:
    listed = _rejected(claims(*numbers))
    assert [it.policy for it in listed[: len(numbers)]] == [name for name, _ in numbers]
    assert len(listed) == LIST_LIMIT
    assert listed[-1].message == ("taken" if not more else f"taken (this node has {more} more rejections)")


def test_a_node_without_rejections_lists_none() -> None:
    assert _rejected([]) == ()
