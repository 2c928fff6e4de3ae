"""YAML in the docs: our objects and parts of them fit the schema of the API, values those of the chart."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from crd_schema import check, closed, crd_schema
from doc_commands import ROOT, doc_pages
from jsonschema import Draft7Validator, Draft202012Validator, ValidationError

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.desired import PolicyConfig, Rejected
from virtfn_release.markdown import blocks

PLURALS = {"SriovPolicy": "sriovpolicies", "SriovNode": "sriovnodes"}
SCHEMA = json.loads((ROOT / "charts/virtfn/values.schema.json").read_text())
TEMPLATE = (ROOT / "examples/first-policy.yaml.in").read_text()
FOREIGN = {"NetworkAttachmentDefinition"}
"""Kinds of other projects in the docs, whose schema is theirs."""


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each mapping in YAML of the docs, with where it stands."""
    for page, text in doc_pages().items():
        for block in blocks(text):
            if block.language in (None, "yaml") and block.text[:1].isalpha():
                try:
                    found = list(yaml.safe_load_all(block.text))
                except yaml.YAMLError:
                    assert block.language is None, f"{page}:{block.line} is no YAML"
                    continue
                yield from ((f"{page}:{block.line}", it) for it in found if isinstance(it, dict) and names(it))


def names(document: dict[str, Any]) -> bool:
    """Whether its keys are names of fields, and not the beginning of a sentence with a colon."""
    return all(re.fullmatch(r"[a-z]\w*", str(name)) for name in document)


DOCUMENTS = tuple(documents())


def parts(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every named field of a schema, at any depth."""
    for name, field in (schema.get("properties") or {}).items():
        yield name, field
        yield from parts(field)
    yield from parts(schema["items"]) if "items" in schema else ()


def fits(document: dict[str, Any]) -> bool:
    """Whether it is an object of ours, part of a policy's spec, or values of the chart."""
    if "kind" in document:
        if document["kind"] in FOREIGN:
            return True
        try:
            check(crd_schema(PLURALS[document["kind"]]), document)
        except (KeyError, ValidationError):
            return False
        return True
    if Draft7Validator({**SCHEMA, "required": []}).is_valid(document) or _part_of_values(document):
        return True
    fields = list(parts(crd_schema("sriovpolicies")["properties"]["spec"]))
    return all(
        any(field == name and Draft202012Validator(closed(schema)).is_valid(value) for field, schema in fields)
        for name, value in document.items()
    )


def _part_of_values(document: dict[str, Any]) -> bool:
    """Whether it is valid where what it leaves out has its default."""
    defaults = yaml.safe_load((ROOT / "charts/virtfn/values.yaml").read_text())
    return Draft7Validator(SCHEMA).is_valid(_over(defaults, document))


def _over(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    both = {name: _over(values[name], it) for name, it in more.items() if isinstance(it, dict) and values.get(name)}
    return {**values, **more, **both}


@pytest.mark.parametrize(("place", "document"), DOCUMENTS, ids=[place for place, _ in DOCUMENTS])
def test_yaml_in_the_docs_fits(place: str, document: dict[str, Any]) -> None:
    assert fits(document)


def test_there_is_such_yaml() -> None:
    assert len(DOCUMENTS) >= 6


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "SriovPolicy", "spec": {"devices": []}},
        {"kind": "SriovPolice", "spec": {}},
        {"agent": {"seLinuxOption": {"type": "spc_t"}}},
        {"bootUnit": {"enabled": "yes"}},
        {"grant": {"rdmaa": True}},
        {"grants": {"rdma": True}},
    ],
)
def test_what_does_not_fit_is_found(document: dict[str, Any]) -> None:
    assert not fits(document)


def read(policy: dict[str, Any]) -> PolicyConfig | Rejected:
    return policy_config(name=policy["metadata"]["name"], uid="u", generation=1, spec=policy["spec"])


@pytest.mark.parametrize(
    ("vendor", "device", "count"), [("8086", "10c9", 4), ("15b3", "1017", 2), ("144d", "a824", 16)]
)
def test_the_first_policy_takes_the_ids_of_any_card(vendor: str, device: str, count: int) -> None:
    text = TEMPLATE.replace("VENDOR", vendor).replace("DEVICE", device).replace("COUNT", str(count))
    policy = yaml.safe_load(text)
    check(crd_schema("sriovpolicies"), policy)
    config = read(policy)
    assert isinstance(config, PolicyConfig)
    assert [(matcher.vendor, matcher.device) for matcher in config.devices] == [(vendor, device)]


def test_the_first_policy_with_its_words_is_refused() -> None:
    policy = yaml.safe_load(TEMPLATE)
    with pytest.raises(ValidationError):
        check(crd_schema("sriovpolicies"), policy)
    assert isinstance(read(policy), Rejected)


def test_the_first_policy_offers_what_the_pod_asks_for() -> None:
    pod = yaml.safe_load((ROOT / "examples/pod.yaml").read_text())
    policy = yaml.safe_load(TEMPLATE)
    (pool,) = policy["spec"]["virtualFunctions"]["pools"]
    assert list(pod["spec"]["containers"][0]["resources"]["limits"]) == [f"virtfn.dev/{pool['resourceName']}"]
