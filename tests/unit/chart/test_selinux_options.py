"""The SELinux options of a pod are Kubernetes' four, and each pod of the chart has a value for them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

CHART = Path(__file__).resolve().parents[3] / "charts" / "virtfn"
SCHEMA = Draft7Validator(json.loads((CHART / "values.schema.json").read_text()))
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
PODS = ("controller", "agent", "devicePlugin")


def is_valid(pod: str, options: Any) -> bool:
    """Whether the schema takes these options for this pod."""
    return SCHEMA.is_valid(VALUES | {pod: VALUES[pod] | {"seLinuxOptions": options}})


@pytest.mark.parametrize("pod", PODS)
def test_none_are_set_unless_asked_for(pod: str) -> None:
    assert VALUES[pod]["seLinuxOptions"] == {}


@pytest.mark.parametrize("pod", PODS)
@pytest.mark.parametrize(
    "options",
    [
        {"type": "spc_t"},
        {"level": "s0:c123,c456"},
        {"user": "system_u", "role": "system_r", "type": "container_t", "level": "s0"},
    ],
)
def test_kubernetes_own_options_are_taken(pod: str, options: dict[str, str]) -> None:
    assert is_valid(pod, options)


@pytest.mark.parametrize("pod", PODS)
@pytest.mark.parametrize("options", [{"label": "spc_t"}, {"type": ""}, {"type": None}, {"level": 0}, "spc_t", None])
def test_anything_else_is_refused(pod: str, options: Any) -> None:
    assert not is_valid(pod, options)
