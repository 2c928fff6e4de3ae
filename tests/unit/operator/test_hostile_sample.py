"""A short sample of the proof `objects`, and that what it tries is neither all good nor all bad."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hostile_objects import hostile_nodes, hostile_policies
from jsonschema import Draft202012Validator
from object_proof import rounds

from virtfn_host.core.values.desired import PolicyConfig
from virtfn_operator.api.node_state import read_spec
from virtfn_operator.api.policy import read_policy

CRDS = Path(__file__).resolve().parents[3] / "crds"


def test_a_sample_of_the_proof() -> None:
    counted: Counter[str] = Counter()
    rounds(20261129, 2, counted)
    assert counted["specs planned"] > 5
    assert counted["specs that nothing is done for"] > 5
    assert counted["policies Accepted: InvalidPolicy"] > 50
    assert counted["policies Accepted: Converged"] > 20


@pytest.mark.parametrize(
    ("plural", "make", "number"), [("sriovpolicies", hostile_policies, 40), ("sriovnodes", hostile_nodes, 12)]
)
def test_the_schema_takes_some_and_refuses_some(plural: str, make: Any, number: int) -> None:
    crd = yaml.safe_load((CRDS / f"{plural}.yaml").read_text())
    validator = Draft202012Validator(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    taken = [validator.is_valid(body) for body in make(1, number)]
    assert 0.15 * number < sum(taken) < 0.85 * number


def test_the_code_takes_some_and_refuses_some_and_bounds_are_reached() -> None:
    policies, nodes = hostile_policies(2, 200), hostile_nodes(5, 50)
    read = [isinstance(read_policy(body, frozenset()).config, PolicyConfig) for body in policies]
    assert 40 < sum(read) < 160
    specs = [read_spec(body["spec"], frozenset()) for body in nodes]
    assert any(spec is None for spec in specs)
    assert any(spec and spec.rejected for spec in specs)
    assert any(spec and spec.config.policies and not spec.rejected for spec in specs)
    assert max(len(json.dumps(body)) for body in nodes) > 300_000


def test_the_same_seed_is_the_same_objects() -> None:
    assert hostile_policies(3, 20) == hostile_policies(3, 20) != hostile_policies(4, 20)
    assert hostile_nodes(3, 20) == hostile_nodes(3, 20) != hostile_nodes(4, 20)
