"""When the hook of an upgrade applies a CRD: whenever that takes no field and no value away."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from virtfn_operator.lifecycle.crds import Fate, established, judge, more_than

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
        {"spec": {}},
        {"spec": {"versions": [None, 7]}},
        {},
    ],
    ids=["a field more", "another type", "another option", "no versions", "nonsense", "empty"],
)
def test_a_crd_that_differs_is_upgraded(now: dict[str, Any]) -> None:
    assert judge(NAME, now, crd(SPEC)).fate is Fate.APPLY


@pytest.mark.parametrize(
    ("now", "names"),
    [
        (crd({**SPEC, "slot": {"type": "string"}}), "v1alpha1.spec.slot"),
        (crd({**SPEC, "grant": {"properties": {"rdma": {}}}}), "v1alpha1.spec.grant, v1alpha1.spec.grant.rdma"),
        (crd({**SPEC, "pools": {"items": {"properties": {"link": {}}}}}), "v1alpha1.spec.pools[].link"),
        (crd({**SPEC, **{f"f{number}": {} for number in range(8)}}), "and 3 more"),
    ],
)
def test_a_crd_that_only_has_more_stays_and_it_is_told_what(now: dict[str, Any], names: str) -> None:
    judged = judge(NAME, now, crd(SPEC))
    assert judged.fate is Fate.NEWER
    assert names in judged.message


@pytest.mark.parametrize("path", CRDS, ids=lambda path: path.stem)
def test_every_field_of_our_crds_is_seen(path: Path) -> None:
    found = more_than(yaml.safe_load(path.read_text()), {})
    wanted = {
        "sriovnodes": "v1alpha1.status.functions[].vfs[].indexes",
        "sriovpolicies": "v1alpha1.spec.devices[].vendor",
    }
    assert wanted[path.stem] in found
    assert len(found) > 40


def of(**schema: Any) -> dict[str, Any]:
    return crd({**SPEC, "pools": {"items": {"properties": {"prefer": schema}}}})


WIDER: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a word more": (of(enum=["Pack", "Spread", "Balance"]), of(enum=["Pack", "Spread"]), "Balance"),
    "words in another order": (of(enum=["Balance", "Spread", "Pack"]), of(enum=["Pack", "Spread"]), "Balance"),
    "any word": (of(type="string"), of(enum=["Pack"]), "any value"),
    "a number more": (of(enum=[1, 2]), of(enum=[1]), "2"),
    "a higher maximum": (of(maximum=4094), of(maximum=100), "maximum 4094"),
    "no maximum": (of(), of(maximum=100), "no maximum"),
    "a lower minimum": (of(minimum=-1000), of(minimum=0), "minimum -1000"),
    "a minimum of zero": (of(minimum=0), of(minimum=1), "minimum 0"),
    "no minimum": (of(), of(minimum=0), "no minimum"),
    "more items": (of(maxItems=128), of(maxItems=64), "maxItems 128"),
    "fewer items": (of(minItems=0), of(minItems=1), "minItems 0"),
    "longer": (of(maxLength=253), of(maxLength=63), "maxLength 253"),
    "more entries": (of(maxProperties=8), of(maxProperties=4), "maxProperties 8"),
}


@pytest.mark.parametrize(("wide", "narrow", "what"), WIDER.values(), ids=WIDER)
def test_a_crd_that_allows_more_values_stays_and_is_brought(
    wide: dict[str, Any], narrow: dict[str, Any], what: str
) -> None:
    judged = judge(NAME, wide, narrow)
    assert judged.fate is Fate.NEWER
    assert judged.message.endswith(f"; it has also v1alpha1.spec.pools[].prefer: {what}")
    assert judge(NAME, narrow, wide).fate is Fate.APPLY


@pytest.mark.parametrize("inner", ["items", "additionalProperties"])
def test_a_bound_within_a_list_or_a_map_is_seen(inner: str) -> None:
    wide, narrow = (crd({**SPEC, "names": {inner: {"maxLength": most}, "maxItems": 4}}) for most in (63, 16))
    assert judge(NAME, wide, narrow).fate is Fate.NEWER
    assert judge(NAME, narrow, wide).fate is Fate.APPLY


CONFLICTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a field for another": (crd({"vendor": {}, "old": {}}), crd({"vendor": {}, "device": {}})),
    "a word for another": (of(enum=["Pack", "Old"]), of(enum=["Pack", "Spread"])),
    "a bound for a field": (crd({"vendor": {"maxLength": 9}}), crd({"vendor": {"maxLength": 4}, "device": {}})),
    "a bound for another": (of(minimum=0, maximum=8), of(minimum=1, maximum=9)),
}


@pytest.mark.parametrize(("now", "then"), CONFLICTS.values(), ids=CONFLICTS)
def test_where_each_allows_something_that_the_other_does_not_people_decide(
    now: dict[str, Any], then: dict[str, Any]
) -> None:
    for one, other in ((now, then), (then, now)):
        judged = judge(NAME, one, other)
        assert judged.fate is Fate.CONFLICT
        assert all(what in judged.message for what in (*more_than(one, other), *more_than(other, one)))


@pytest.mark.parametrize("path", CRDS, ids=lambda path: path.stem)
def test_every_enum_and_bound_of_our_crds_is_seen(path: Path) -> None:
    """Each of them narrowed, one after the other: the CRD as it is stays."""
    ours = yaml.safe_load(path.read_text())
    narrow = copy.deepcopy(ours)
    limits = list(_limits(narrow))
    assert len(limits) > 40
    for schema, key in limits:
        value = schema[key]
        schema[key] = value[1:] if key == "enum" else value + (1 if key.startswith("min") else -1)
        assert judge(path.stem, ours, narrow).fate is Fate.NEWER, (key, value)
        schema[key] = value


def _limits(crd: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    def below(schema: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
        yield from ((schema, key) for key in schema if key == "enum" or re.fullmatch("(min|max)(imum|[A-Z].*)", key))
        for name, inner in schema.items():
            if name == "properties":
                yield from (found for one in inner.values() for found in below(one))
            elif name in ("items", "additionalProperties") and isinstance(inner, dict):
                yield from below(inner)

    for version in crd["spec"]["versions"]:
        yield from below(version["schema"]["openAPIV3Schema"])


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
