"""When the hook of an upgrade applies a CRD: whenever that takes no field away."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from virtfn_operator.lifecycle.crds import Fate, established, fields, judge

CRDS = sorted((Path(__file__).parents[3] / "crds").glob("*.yaml"))
NAME = "sriovpolicies.virtfn.dev"
SPEC = {"vendor": {"type": "string"}, "device": {"type": "string"}}


def crd(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    spec = {"type": "object", "properties": properties}
    schema = {"openAPIV3Schema": {"properties": {"spec": spec}}}
    return {"metadata": {"name": NAME}, "spec": {"versions": [{"name": "v1alpha1", "schema": schema, **more}]}}


def test_a_crd_that_the_cluster_does_not_have_is_made() -> None:
    judged = judge(NAME, None, crd(SPEC))
    assert judged.fate is Fate.APPLY
    assert judged.message == f"{NAME} is new"


@pytest.mark.parametrize("path", CRDS, ids=lambda path: path.stem)
def test_a_crd_that_is_current_is_left_alone(path: Path) -> None:
    ours = yaml.safe_load(path.read_text())
    assert judge(NAME, ours, ours).fate is Fate.CURRENT
    served = {**ours, "metadata": {"name": NAME, "resourceVersion": "7"}, "status": {"conditions": []}}
    assert judge(NAME, served, ours).fate is Fate.CURRENT


@pytest.mark.parametrize(
    "now",
    [
        crd({"vendor": {"type": "string"}}),
        crd({**SPEC, "device": {"type": "integer"}}),
        crd(SPEC, served=False),
        crd({"vendor": {"type": "string"}, "gone": {"type": "string"}}),
        {"spec": {}},
        {"spec": {"versions": [None, 7]}},
        {},
    ],
    ids=["a field more", "another type", "another option", "one for another", "no versions", "nonsense", "empty"],
)
def test_a_crd_that_differs_is_upgraded(now: dict[str, Any]) -> None:
    assert judge(NAME, now, crd(SPEC)).fate is Fate.APPLY


@pytest.mark.parametrize(
    ("now", "names"),
    [
        (crd({**SPEC, "slot": {"type": "string"}}), "v1alpha1.spec.slot"),
        (crd({**SPEC, "grant": {"properties": {"rdma": {}}}}), "v1alpha1.spec.grant, v1alpha1.spec.grant.rdma"),
        (crd({**SPEC, "pools": {"items": {"properties": {"link": {}}}}}), "v1alpha1.spec.pools.link"),
        (crd({**SPEC, **{f"f{number}": {} for number in range(8)}}), "and 3 more"),
    ],
)
def test_a_crd_that_only_has_more_stays_and_it_is_told_what(now: dict[str, Any], names: str) -> None:
    judged = judge(NAME, now, crd(SPEC))
    assert judged.fate is Fate.NEWER
    assert names in judged.message


@pytest.mark.parametrize("path", CRDS, ids=lambda path: path.stem)
def test_every_field_of_our_crds_is_seen(path: Path) -> None:
    found = set(fields(yaml.safe_load(path.read_text())))
    wanted = {"sriovnodes": "v1alpha1.status.functions.vfs.indexes", "sriovpolicies": "v1alpha1.spec.devices.vendor"}
    assert wanted[path.stem] in found
    assert len(found) > 40


@pytest.mark.parametrize(
    ("conditions", "wanted"),
    [
        ([{"type": "Established", "status": "True"}], True),
        ([{"type": "NamesAccepted", "status": "True"}], False),
        ([{"type": "Established", "status": "False"}], False),
        (None, False),
    ],
)
def test_a_crd_is_served_when_it_is_established(conditions: Any, wanted: bool) -> None:
    assert established({"status": {"conditions": conditions}}) is wanted
