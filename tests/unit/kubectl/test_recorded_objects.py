"""The recorded fleets are objects as the API server has them: valid by the schemas of the CRDs, no field unknown."""

from __future__ import annotations

from typing import Any

import pytest
from crd_schema import check, crd_schema
from fake_cluster import recorded

FLEETS = ("healthy", "changing", "blocked", "failed")


def whole(plural: str) -> dict[str, Any]:
    """The schema of a CRD; what `metadata` may have is the API server's own business."""
    schema = dict(crd_schema(plural))
    schema["properties"] = {**schema["properties"], "metadata": {"type": "object", "x-free": True}}
    return schema


@pytest.mark.parametrize("fleet", FLEETS)
@pytest.mark.parametrize(("kind", "plural"), [("policies", "sriovpolicies"), ("nodes", "sriovnodes")])
def test_recorded_objects_are_valid(fleet: str, kind: str, plural: str) -> None:
    schema = whole(plural)
    for body in recorded(fleet)[kind]:
        check(schema, body)


@pytest.mark.parametrize("fleet", FLEETS)
def test_every_node_has_a_node_and_the_pods_of_virtfn(fleet: str) -> None:
    found = recorded(fleet)
    names = {body["metadata"]["name"] for body in found["nodes"]}
    assert {body["metadata"]["name"] for body in found["members"]} == names
    ours = [pod for pod in found["pods"] if pod["metadata"]["labels"].get("app.kubernetes.io/name") == "virtfn"]
    assert {pod["spec"]["nodeName"] for pod in ours} == names
    assert len(ours) == 2 * len(names)
