"""`kubectl virtfn rollout pause` and `resume` on a real cluster: a paused policy gives no turn, a resumed one does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from virtfn_lab.node import LEFT, Node, policy

Asked = Callable[..., tuple[int, Any]]


def test_a_paused_policy_gets_no_turn_until_it_is_resumed(node: Node, virtfn: Asked) -> None:
    node.apply(policy("left", 2, LEFT))
    node.converged()
    assert virtfn("rollout", "pause", "left")[1]["changed"] is True
    assert virtfn("rollout", "pause", "left")[1]["changed"] is False
    node.edit("left", 3)  # the VFs are free, so this would disturb them at once, in a turn
    node.until("it waits for a turn", lambda: node.condition()["reason"] == "WaitingForTurn")
    status, document = virtfn("rollout", "status", "left")
    assert (status, document["paused"], document["nodes"][0]["turn"]) == (0, True, False)
    assert virtfn("rollout", "resume", "left")[1] | {"waiting": []} == {
        "policy": "left",
        "paused": False,
        "changed": True,
        "mayChange": [],
        "waiting": [],
        "stoppedBy": None,
    }
    node.until("it is carried out", lambda: node.condition()["status"] == "True")
    node.converged()
    assert virtfn("rollout", "status", "left")[1]["paused"] is False


def test_a_policy_that_is_not_there_is_named(virtfn: Asked) -> None:
    status, document = virtfn("rollout", "pause", "none-of-this-name")
    assert status == 4
    assert "none-of-this-name" in document["error"]["message"]
