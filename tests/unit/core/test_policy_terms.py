"""`allocation.requireLink` and `allowUnsafeNoIommu`: read from a policy, written to a node, and back."""

from dataclasses import replace
from typing import Any

import pytest

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig, Rejected
from virtfn_operator.api.node_state import read_spec, write_spec

VFS: dict[str, Any] = {
    "devices": [{"vendor": "8086"}],
    "virtualFunctions": {"count": 4, "pools": [{"resourceName": "fast"}]},
}
WHOLE: dict[str, Any] = {"devices": [{"vendor": "8086"}], "wholeFunctions": {"resourceName": "nic"}}


def read(spec: dict[str, Any]) -> PolicyConfig | Rejected:
    return policy_config(name="p", uid="u", generation=3, spec=spec)


def good(spec: dict[str, Any]) -> PolicyConfig:
    found = read(spec)
    assert isinstance(found, PolicyConfig), found
    return found


def requires_link(policy: PolicyConfig) -> list[bool]:
    """Whether a link is required, for each pool or the whole functions."""
    own = [] if policy.whole is None else [policy.whole.require_link]
    return own + [pool.require_link for pool in policy.pools]


def linked(value: object, spec: dict[str, Any] = VFS) -> dict[str, Any]:
    if spec is WHOLE:
        return {**WHOLE, "wholeFunctions": {"resourceName": "nic", "allocation": value}}
    return {**VFS, "virtualFunctions": {"count": 4, "pools": [{"resourceName": "fast", "allocation": value}]}}


@pytest.mark.parametrize("spec", [VFS, WHOLE])
def test_nothing_unsafe_and_no_link_is_asked_for_by_itself(spec: dict[str, Any]) -> None:
    policy = good(spec)
    assert not policy.allow_unsafe_no_iommu
    assert requires_link(policy) == [False]


@pytest.mark.parametrize(
    ("value", "wanted"), [({}, False), ({"requireLink": False}, False), ({"requireLink": True}, True)]
)
@pytest.mark.parametrize("spec", [VFS, WHOLE])
def test_a_link_can_be_required(value: object, wanted: bool, spec: dict[str, Any]) -> None:
    assert requires_link(good(linked(value, spec))) == [wanted]


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("spec", [VFS, WHOLE])
def test_what_is_unsafe_can_be_accepted(value: bool, spec: dict[str, Any]) -> None:
    assert good({**spec, "allowUnsafeNoIommu": value}).allow_unsafe_no_iommu is value


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({**VFS, "allowUnsafeNoIommu": "yes"}, "spec.allowUnsafeNoIommu"),
        ({**WHOLE, "allowUnsafeNoIommu": 1}, "spec.allowUnsafeNoIommu"),
        ({**VFS, "allowUnsafeNoIommu": None}, "spec.allowUnsafeNoIommu"),
        (linked({"requireLink": "true"}), "spec.virtualFunctions.pools[0].allocation.requireLink"),
        (linked({"requireLinks": True}), "spec.virtualFunctions.pools[0].allocation.requireLinks: unknown field"),
        (linked([]), "spec.virtualFunctions.pools[0].allocation"),
        (linked(True, WHOLE), "spec.wholeFunctions.allocation"),
    ],
)
def test_anything_else_is_refused_with_the_field(spec: dict[str, Any], field: str) -> None:
    found = read(spec)
    assert isinstance(found, Rejected), found
    assert found.message.startswith(field)


@pytest.mark.parametrize(
    "spec",
    [
        VFS,
        WHOLE,
        linked({"requireLink": True}),
        linked({"requireLink": True}, WHOLE),
        {**WHOLE, "allowUnsafeNoIommu": True},
    ],
)
@pytest.mark.parametrize("accepted", [True, False])
def test_a_node_is_told_the_same(spec: dict[str, Any], accepted: bool) -> None:
    policy = replace(good(spec), allow_unsafe_no_iommu=accepted)
    found = read_spec(write_spec(NodeConfig(policies=(policy,)), may_change=False))
    assert found is not None
    assert found.config.policies == (policy,)


def test_a_spec_without_these_terms_is_written_as_before() -> None:
    (written,) = write_spec(NodeConfig(policies=(good(VFS),)), may_change=False)["policies"]
    assert written["pools"] == [{"resourceName": "virtfn.dev/fast", "driver": "vfio-pci"}]
    assert "allowUnsafeNoIommu" not in written
