"""Without an IOMMU nothing is handed out by vfio, unless administrator and policy both accept that it is unsafe."""

from dataclasses import replace
from typing import Any

import pytest
from inventories import a_pf, a_plain, a_policy, an_inventory, carried_out

from virtfn_host.core.turn.by_hand import bound
from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import Resolution, resolve
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, WholeRequest
from virtfn_host.core.values.model import Function, InUse, Inventory
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Bind

NOBODY = InUse(holders=())
BARE = a_pf(0, iommu_group=None)
CARD = a_plain(1, iommu_group=None)
VFS = a_policy(count=2)
WHOLE = a_policy(
    "nic",
    count=None,
    pools=(),
    devices=(DeviceMatcher(address=CARD.address),),
    whole=WholeRequest(resource_name="virtfn.dev/nic", driver="vfio-pci"),
)
each = pytest.mark.parametrize(("function", "policy"), [(BARE, VFS), (CARD, WHOLE)], ids=["VFs", "whole"])


def machine(function: Function, told: bool | None) -> Inventory:
    return replace(an_inventory(function), noiommu=told)


def resolved(function: Function, told: bool | None, policy: PolicyConfig, **fields: Any) -> Resolution:
    return resolve(NodeConfig(policies=(replace(policy, **fields),)), machine(function, told), ())


@each
@pytest.mark.parametrize("told", [None, False, True])
@pytest.mark.parametrize("accepted", [False, True])
def test_both_the_administrator_and_the_policy_must_accept_it(
    function: Function, policy: PolicyConfig, told: bool | None, accepted: bool
) -> None:
    found = resolved(function, told, policy, allow_unsafe_no_iommu=accepted)
    assert [refused.reason for refused in found.rejected] == ([] if told and accepted else [Reason.NO_IOMMU])


@each
def test_a_policy_that_does_not_accept_it_is_told_the_field(function: Function, policy: PolicyConfig) -> None:
    (refused,) = resolved(function, True, policy).rejected
    assert "has no IOMMU group; switch the IOMMU on" in refused.message
    assert "allowUnsafeNoIommu: true in the policy" in refused.message


@each
@pytest.mark.parametrize(
    ("told", "text"),
    [
        (None, "modprobe vfio enable_unsafe_noiommu_mode=1"),
        (False, "echo Y > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode"),
    ],
)
def test_an_administrator_who_has_not_told_vfio_is_told_how(
    function: Function, policy: PolicyConfig, told: bool | None, text: str
) -> None:
    (refused,) = resolved(function, told, policy, allow_unsafe_no_iommu=True).rejected
    assert text in refused.message
    assert "/etc/modprobe.d" in refused.message


@each
def test_where_both_accept_it_the_plan_binds(function: Function, policy: PolicyConfig) -> None:
    found = resolved(function, True, policy, allow_unsafe_no_iommu=True)
    made = plan(machine(function, True), found.desired, NOBODY)
    assert made.blocked == ()
    binds = [step for step in made.steps if isinstance(step, Bind)]
    assert {step.driver for step in binds} == {"vfio-pci"}
    assert len(binds) == (1 if policy is WHOLE else 2)
    assert plan(carried_out(made, machine(function, True)), found.desired, NOBODY).steps == ()


def test_by_hand_nothing_unsafe_is_bound() -> None:
    for told in (None, False, True):
        (refused,) = bound(machine(CARD, told), CARD.address, "vfio-pci").rejected
        assert refused.reason is Reason.NO_IOMMU


def test_with_an_iommu_the_field_changes_nothing() -> None:
    inventory = an_inventory(a_pf(0))
    policies = [replace(VFS, allow_unsafe_no_iommu=accepted) for accepted in (False, True)]
    found = [resolve(NodeConfig(policies=(policy,)), inventory, ()) for policy in policies]
    assert not any(resolution.rejected for resolution in found)
    first, second = (plan(inventory, resolution.desired, NOBODY) for resolution in found)
    assert first == second
