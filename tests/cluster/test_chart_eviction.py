"""What the chart renders for `eviction.enabled`: two rights on pods and the policy that limits them, or neither."""

from __future__ import annotations

from typing import Any

import pytest

from virtfn_lab.chart import Objects, render
from virtfn_operator.controller.evict import SPARED

POLICY = ("ValidatingAdmissionPolicy", "virtfn-eviction")


def rights(objects: Objects) -> list[Any]:
    """Return the controller's rules about pods."""
    rules = objects["ClusterRole", "virtfn-controller"]["rules"]
    return [rule for rule in rules if any(name.startswith("pods") for name in rule["resources"])]


def test_the_controller_may_list_and_evict_pods_and_nothing_more() -> None:
    found = [(rule["resources"], rule["verbs"]) for rule in rights(render())]
    assert found == [(["pods"], ["list"]), (["pods/eviction"], ["create"])]


def test_a_policy_limits_its_evictions() -> None:
    spec = render()[POLICY]["spec"]
    assert spec["failurePolicy"] == "Fail"
    assert spec["matchConstraints"]["resourceRules"][0]["resources"] == ["pods/eviction"]
    expressions = " ".join(one["expression"] for one in spec["validations"])
    for word in ("preconditions", "gracePeriodSeconds", *SPARED):
        assert word in expressions
    assert ("ValidatingAdmissionPolicyBinding", "virtfn-eviction") in render()


@pytest.mark.parametrize("account", ["agent", "deviceplugin"])
def test_no_other_account_has_a_right_on_pods(account: str) -> None:
    role = render().get(("ClusterRole", f"virtfn-{account}"), {"rules": []})
    assert "pods" not in str(role["rules"])


def test_with_the_value_off_there_is_neither() -> None:
    objects = render("eviction.enabled=false")
    assert rights(objects) == []
    assert POLICY not in objects
