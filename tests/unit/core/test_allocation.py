"""`allocation.prefer` and `allocation.topology`: read from a policy, told to a node, and published with the pool."""

from dataclasses import replace
from typing import Any

import pytest
from inventories import a_pf, a_policy, an_inventory

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.choice import ANY, Choice, Prefer, Topology
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig, Rejected
from virtfn_operator.api.node_state import read_spec, write_spec

SPREAD = Choice(prefer=Prefer.SPREAD)
NO_HINT = Choice(topology=Topology.NONE)


def read(allocation: object, *, whole: bool) -> PolicyConfig | Rejected:
    offer: dict[str, Any] = {"resourceName": "fast", "allocation": allocation}
    what = {"wholeFunctions": offer} if whole else {"virtualFunctions": {"count": 4, "pools": [offer]}}
    return policy_config(name="p", uid="u", generation=3, spec={"devices": [{"vendor": "8086"}], **what})


def choice(policy: PolicyConfig | Rejected) -> Choice:
    assert isinstance(policy, PolicyConfig), policy
    return policy.whole.choice if policy.whole is not None else policy.pools[0].choice


CASES = [
    ({}, ANY),
    ({"prefer": "Pack", "topology": "Numa"}, ANY),
    ({"prefer": "Spread"}, SPREAD),
    ({"topology": "None", "requireLink": True}, NO_HINT),
]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(("allocation", "wanted"), CASES)
def test_a_policy_says_how_functions_are_chosen(allocation: object, wanted: Choice, whole: bool) -> None:
    assert choice(read(allocation, whole=whole)) == wanted


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(("allocation", "wanted"), CASES)
def test_a_node_is_told_the_same(allocation: object, wanted: Choice, whole: bool) -> None:
    policy = read(allocation, whole=whole)
    assert isinstance(policy, PolicyConfig)
    found = read_spec(write_spec(NodeConfig(policies=(policy,)), may_change=False))
    assert found is not None
    assert [choice(one) for one in found.config.policies] == [wanted]


@pytest.mark.parametrize(
    ("allocation", "field"),
    [
        ({"prefer": "pack"}, "prefer: 'pack' is not one of Pack, Spread"),
        ({"prefer": None}, "prefer: is null; "),
        ({"topology": False}, "topology: False is not one of Numa, None"),
        ({"topology": ["Numa"]}, "topology: "),
        ({"preference": "Pack"}, "preference: unknown field"),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_anything_else_is_refused_with_the_field(allocation: object, field: str, whole: bool) -> None:
    found = read(allocation, whole=whole)
    assert isinstance(found, Rejected)
    path = "spec.wholeFunctions" if whole else "spec.virtualFunctions.pools[0]"
    assert found.message.startswith(f"{path}.allocation.{field}")


def asks(name: str, asked: Choice) -> PolicyConfig:
    policy = a_policy(name=name)
    return replace(policy, pools=(replace(policy.pools[0], resource_name="virtfn.dev/one", choice=asked),))


@pytest.mark.parametrize(("first", "second"), [(SPREAD, ANY), (ANY, SPREAD), (NO_HINT, SPREAD)])
def test_of_several_policies_the_one_with_the_highest_precedence_decides(first: Choice, second: Choice) -> None:
    policies = (asks("first", first), asks("second", second))
    choices = resolve(NodeConfig(policies=policies), an_inventory(a_pf(0)), ()).desired.choices
    assert choices.get("virtfn.dev/one", ANY) == first
