"""A deleted policy that another program's finalizers keep: no node is asked for it, and its status says so."""

from typing import Any

import pytest
from fleet_of_policies import Fleet, edited

from virtfn_operator.api.policy import read_policy

Body = dict[str, Any]
OTHER, MORE = "other.example/keep", "more.example/keep"


def delete(fleet: Fleet, name: str = "a", finalizers: Any = (OTHER,)) -> None:
    """Delete a policy as an API server does where finalizers are left."""
    metadata = fleet.policies[name]["metadata"]
    metadata |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "generation": metadata["generation"] + 1}
    metadata["finalizers"] = list(finalizers) if isinstance(finalizers, tuple) else finalizers


def conditions(fleet: Fleet, name: str = "a") -> dict[str, Body]:
    return {it["type"]: it for it in fleet.policies[name]["status"]["conditions"]}


@pytest.mark.parametrize(
    "finalizers", [(OTHER,), (OTHER, MORE), tuple(f"{'x' * 200}.example/{n}" for n in range(900)), (7, None), "odd", {}]
)
def test_it_is_not_ready_and_its_finalizers_are_named(finalizers: Any) -> None:
    fleet = Fleet({"n1": "a", "n2": "a"})
    fleet.look()
    assert conditions(fleet)["Ready"]["status"] == "True"
    delete(fleet, finalizers=finalizers)
    fleet.look()
    assert [body["spec"]["policies"] for body in fleet.nodes.values()] == [[], []]
    found = conditions(fleet)
    assert {kind: (it["status"], it["reason"]) for kind, it in found.items()} == {
        "Accepted": ("False", "BeingDeleted"),
        "Ready": ("False", "BeingDeleted"),
    }
    named = [name for name in (OTHER, MORE) if name in finalizers]
    assert all(name in found["Ready"]["message"] for name in named)
    assert not any(fleet.policies["a"]["status"]["nodes"].values())


def test_its_status_is_written_once_and_others_go_on() -> None:
    fleet = Fleet({"n1": "ab"})
    fleet.look()
    delete(fleet)
    assert {write.name for write in fleet.look().writes} == {"n1", "a"}
    fleet.says("n1")
    fleet.look()
    assert fleet.look().writes == ()
    assert conditions(fleet, "b")["Ready"]["status"] == "True"
    assert [policy["name"] for policy in fleet.nodes["n1"]["spec"]["policies"]] == ["b"]


def test_its_rollout_ends_with_it() -> None:
    fleet = Fleet({"n1": "a", "n2": "a"})
    fleet.policies["a"]["metadata"]["annotations"] = {"virtfn.dev/paused": "true"}
    edited(fleet, "a")
    assert fleet.rollout("a")["paused"]
    delete(fleet)
    fleet.look()
    assert (fleet.turns, fleet.rollout("a")) == ([], {})


def test_one_that_cannot_be_read_keeps_nothing() -> None:
    fleet = Fleet({"n1": "ab"})
    delete(fleet)
    fleet.policies["a"]["metadata"]["name"] = "x" * 300
    fleet.look()
    assert [policy["name"] for policy in fleet.nodes["n1"]["spec"]["policies"]] == ["b"]


def test_one_with_a_bad_spec_keeps_nothing() -> None:
    fleet = Fleet({"n1": "ab"})
    fleet.policies["a"]["spec"]["devices"] = 7
    fleet.look()
    assert len(fleet.nodes["n1"]["spec"]["policies"]) == 2
    delete(fleet)
    fleet.look()
    assert [policy["name"] for policy in fleet.nodes["n1"]["spec"]["policies"]] == ["b"]
    assert conditions(fleet)["Ready"]["reason"] == "BeingDeleted"


@pytest.mark.parametrize("finalizers", [[], [OTHER]])
def test_finalizers_alone_end_nothing(finalizers: list[str]) -> None:
    body = {"metadata": {"name": "a", "finalizers": finalizers}, "spec": {}}
    assert read_policy(body).ending == ""
