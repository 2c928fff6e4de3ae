"""A policy that cannot be carried out says why, on itself and on the node; nothing is touched, no other one suffers."""

from __future__ import annotations

from typing import Any

from virtfn_lab.node import LEFT, Node, policy
from virtfn_lab.product import allocatable, functions

CASES = {
    "NoMatchingDevice": policy("wrong", 7, devices=[{"vendor": "15b3"}]),
    "TooManyVfs": policy("wrong", 8, "0000:02:00.0"),
    "CountConflict": policy("wrong", 3, LEFT),
    "IndexTaken": policy(
        "wrong", 7, LEFT, virtualFunctions={"count": 7, "pools": [{"resourceName": "wrong", "indexes": "2"}]}
    ),
    "NothingLeft": policy("wrong", 7, LEFT),
}


def test_a_policy_that_cannot_stand_says_why_and_hurts_no_other(node: Node) -> None:
    """In one test, because VFs take seconds each where they are emulated."""
    node.apply(policy("good", 7, LEFT))
    node.until("the good one is carried out", lambda: allocatable(node.cluster, "virtfn.dev/good") == 7)
    node.converged()
    before = functions(node.cluster)
    for reason in CASES:
        _says_why_and_hurts_no_other(node, reason, before)
        node.cluster.kubectl("delete", "svp", "wrong")
        node.until("the node has forgotten it", lambda: not _rejected(node))


def _says_why_and_hurts_no_other(node: Node, reason: str, before: str) -> None:
    node.apply(CASES[reason])
    node.until(f"the policy says {reason}", lambda: reason in _reasons(node, "wrong"))
    # The controller heard it of the node, so the node has said it.
    (said,) = _rejected(node)
    assert said["reason"] == reason
    if reason in ("CountConflict", "IndexTaken", "NothingLeft"):
        assert "good" in said["message"], "the winner is named"
    assert functions(node.cluster) == before
    node.until("the good one's status is of now", lambda: _ready(node, "good"))
    assert allocatable(node.cluster, "virtfn.dev/good") == 7


def _rejected(node: Node) -> list[Any]:
    """What the node says of the policy that cannot stand."""
    return [rejected for rejected in node.status().get("rejected", []) if rejected["policy"] == "wrong"]


def _policy(node: Node, name: str) -> Any:
    return node.cluster.get("svp", name)


def _reasons(node: Node, name: str) -> set[str]:
    return {c["reason"] for c in _policy(node, name).get("status", {}).get("conditions", []) if c["status"] == "False"}


def _ready(node: Node, name: str) -> bool:
    return [c["status"] for c in _policy(node, name)["status"]["conditions"] if c["type"] == "Ready"] == ["True"]
