"""SriovPolicy and SriovNode.spec to values and back; refusals name the field."""

from typing import Any

import pytest

from virtfn_host.core.values.desired import NodeConfig, PolicyConfig, Rejected
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.api.node_state import read_node, read_spec, write_spec
from virtfn_operator.api.node_status import State
from virtfn_operator.api.policy import MaxUnavailable, Policy, read_policy

SPEC: dict[str, Any] = {
    "nodeSelector": {"matchLabels": {"role": "dpdk"}},
    "priority": 10,
    "devices": [
        {
            "vendor": "8086",
            "device": "10c9",
            "class": "0200",
            "driver": "igb",
            "address": "0000:3b:00.0",
            "netdev": "ens1f0",
            "numaNode": 0,
        }
    ],
    "virtualFunctions": {
        "count": 7,
        "pools": [{"resourceName": "fast", "indexes": "0-3,6"}, {"resourceName": "x.org/rest", "driver": "kernel"}],
    },
    "disruption": {"whenInUse": "Wait", "maxUnavailable": "10%"},
}
METADATA = {"name": "fast", "uid": "u1", "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z"}


def read(**changes: Any) -> Policy:
    return read_policy({"metadata": METADATA, "spec": {**SPEC, **changes}})


def test_a_whole_policy() -> None:
    policy = read()
    assert isinstance(policy.config, PolicyConfig)
    assert (policy.name, policy.uid, policy.generation, policy.priority) == ("fast", "u1", 3, 10)
    assert policy.rank == (-10, "2026-01-01T00:00:00Z", "fast")
    assert policy.max_unavailable == MaxUnavailable(amount=10, percent=True)
    assert [pool.resource_name for pool in policy.config.pools] == ["virtfn.dev/fast", "x.org/rest"]


def test_defaults() -> None:
    policy = read_policy({"metadata": {"name": "x"}, "spec": {k: SPEC[k] for k in ("devices", "virtualFunctions")}})
    assert isinstance(policy.config, PolicyConfig)
    assert (policy.priority, policy.max_unavailable) == (0, MaxUnavailable(amount=1))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"priority": "high"}, "spec.priority"),
        ({"priority": 1001}, "spec.priority"),
        ({"nodeSelector": {"matchLabels": 7}}, "spec.nodeSelector.matchLabels"),
        ({"devices": []}, "spec.devices"),
        ({"devices": [{"vendor": "intel"}]}, "spec.devices[0].vendor"),
        ({"virtualFunctions": None}, "spec.virtualFunctions"),
        ({"wholeFunctions": {"resourceName": "gpu"}}, "spec: has both virtualFunctions and wholeFunctions"),
        ({"virtualFunctions": None, "wholeFunctions": {"resourceName": "gpu"}}, "spec: has both"),
        ({"disruption": {"whenInUse": "Force"}}, "spec.disruption.whenInUse"),
        ({"disruption": {"onFailure": "Retry"}}, "spec.disruption.onFailure"),
        ({"disruption": {"maxUnavailable": 0}}, "spec.disruption.maxUnavailable"),
        ({"disruption": {"maxUnavailable": "0%"}}, "spec.disruption.maxUnavailable"),
        ({"disruption": {"maxUnavailable": "half"}}, "spec.disruption.maxUnavailable"),
        ({"disruption": {"later": 1}}, "spec.disruption.later"),
        ({"disruption": 7}, "spec.disruption"),
    ],
)
def test_a_refusal_names_the_field_and_keeps_the_rank(changes: dict[str, Any], field: str) -> None:
    policy = read(**changes)
    assert isinstance(policy.config, Rejected)
    assert policy.config.reason is Reason.INVALID_POLICY
    assert policy.config.message.startswith(field)
    assert policy.rank[1:] == ("2026-01-01T00:00:00Z", "fast")


@pytest.mark.parametrize(
    "spec", [None, 7, [], "x", {"virtualFunctions": 7}, {"nodeSelector": {"matchExpressions": [{}]}}]
)
def test_whatever_the_spec_is_it_is_rejected_and_never_raised(spec: object) -> None:
    assert isinstance(read_policy({"metadata": METADATA, "spec": spec}).config, Rejected)


def test_whole_functions_reach_the_node_as_they_were_asked() -> None:
    metadata = {"name": "gpu", "uid": "u", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
    spec = {"devices": [{"class": "03"}], "wholeFunctions": {"resourceName": "gpu"}}
    policy = read_policy({"metadata": metadata, "spec": spec})
    assert isinstance(policy.config, PolicyConfig)
    wire = write_spec(NodeConfig(policies=(policy.config,)), may_change=False)
    assert wire["policies"][0]["wholeFunctions"] == {"resourceName": "virtfn.dev/gpu", "driver": "vfio-pci"}
    back = read_spec(wire)
    assert back is not None
    assert back.config.policies == (policy.config,)


def test_the_node_spec_is_the_wire_of_the_interface_and_read_back() -> None:
    policy = read()
    assert isinstance(policy.config, PolicyConfig)
    config = NodeConfig(policies=(policy.config,))
    wire = write_spec(config, may_change=True)
    assert wire == {
        "policies": [
            {
                "name": "fast",
                "uid": "u1",
                "generation": 3,
                "devices": SPEC["devices"],
                "count": 7,
                "pools": [
                    {"resourceName": "virtfn.dev/fast", "indexes": "0-3,6", "driver": "vfio-pci"},
                    {"resourceName": "x.org/rest", "driver": "kernel"},
                ],
            }
        ],
        "mayChange": True,
    }
    spec = read_spec(wire)
    assert spec is not None
    assert (spec.config, spec.may_change, spec.rejected) == (config, True, ())


def test_no_policies_is_something_else_than_none_yet() -> None:
    assert read_spec({}) is None
    assert read_spec({"mayChange": True}) is None
    empty = read_spec({"policies": []})
    assert empty is not None
    assert empty.config == NodeConfig(policies=())
    assert not empty.may_change


def test_what_this_version_cannot_read_of_a_node_spec_is_said() -> None:
    spec = read_spec({"policies": [{"name": "x", "devices": [{"vendor": "8086"}], "pools": [], "evil": 1}, 7]})
    assert spec is not None
    assert [r.policy for r in spec.rejected] == ["x", ""]


def test_a_status_of_another_version_is_read_as_far_as_it_goes() -> None:
    node = read_node(
        {
            "metadata": {"name": "n1", "generation": 2},
            "status": {
                "observedGeneration": 1,
                "plan": {"disruptive": True, "later": 1},
                "policies": [{"name": "x", "state": "Resting"}],
                "rejected": [{"policy": "x", "reason": "TooLoud"}],
            },
        }
    )
    assert (node.generation, node.observed_generation, node.disruptive, node.spec) == (2, 1, True, None)
    assert node.policies[0].state is State.CHANGING
    assert node.rejected[0].reason is Reason.UNREADABLE
    assert node.rejected[0].message == "TooLoud"


@pytest.mark.parametrize(
    ("first", "second"),
    [("fast", "fast_info"), ("a-b", "a.b"), ("x.org/Rest", "x.org/rest"), ("virtfn.dev/a_b", "a-b")],
)
def test_two_pools_that_become_one_in_a_container_are_refused_with_both_names(first: str, second: str) -> None:
    pools = [{"resourceName": first, "indexes": "0"}, {"resourceName": second, "indexes": "1"}]
    rejected = read(virtualFunctions={"count": 2, "pools": pools}).config
    assert isinstance(rejected, Rejected)
    assert rejected.reason is Reason.NAME_TAKEN
    for name in (first, second):
        assert (name if "/" in name else f"virtfn.dev/{name}") in rejected.message
    assert "rename one" in rejected.message
