"""The CRDs as files: every field typed, described and bounded, and the same words as the code."""

import re
from collections.abc import Iterator
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml
from crd_schema import check

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import camel
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest, WholeRequest
from virtfn_host.core.values.model import Lasting, LinkRequest, LinkState
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.api.node_spec import _SPEC, _paths
from virtfn_operator.api.node_state import read_spec, write_spec
from virtfn_operator.api.node_status import NodeStatus
from virtfn_operator.controller.status import PolicyStatus

ROOT = Path(__file__).resolve().parents[3]
CRDS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))}
COLUMNS = {
    "sriovpolicies": ["RESOURCES", "NODES", "READY", "BLOCKED", "FAILED", "REASON", "AGE"],
    "sriovnodes": ["PFS", "VFS", "IN-USE", "POOLS", "READY", "REASON", "AGE"],
}
both = pytest.mark.parametrize("plural", sorted(COLUMNS))


def schema(plural: str) -> dict[str, Any]:
    version: dict[str, Any] = CRDS[plural]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return version


def fields(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below `node` with its path, items of lists and values of maps included."""
    children = {f".{name}": child for name, child in (node.get("properties") or {}).items()}
    children |= {suffix: node[key] for key, suffix in (("items", "[]"), ("additionalProperties", "{}")) if key in node}
    for suffix, child in children.items():
        if path + suffix != ".metadata":  # the API server allows nothing to be said of it
            yield path + suffix, child
            yield from fields(child, path + suffix)


@both
def test_names_and_columns(plural: str) -> None:
    spec = CRDS[plural]["spec"]
    assert CRDS[plural]["metadata"]["name"] == f"{plural}.virtfn.dev"
    assert (spec["group"], spec["scope"], spec["names"]["plural"]) == ("virtfn.dev", "Cluster", plural)
    assert spec["names"]["shortNames"] == [{"sriovpolicies": "svp", "sriovnodes": "svn"}[plural]]
    (version,) = spec["versions"]
    assert (version["name"], version["subresources"]) == ("v1alpha1", {"status": {}})
    assert [column["name"] for column in version["additionalPrinterColumns"]] == COLUMNS[plural]


@both
def test_every_field_is_typed(plural: str) -> None:
    bare = [p for p, f in fields(schema(plural)) if "type" not in f and not f.get("x-kubernetes-int-or-string")]
    assert bare == []


@both
def test_every_field_is_described_in_a_sentence(plural: str) -> None:
    assert [p for p, f in fields(schema(plural)) if not re.match(r".{5,}\.$", f.get("description", ""))] == []


@both
def test_every_string_list_and_map_is_bounded(plural: str) -> None:
    bound = {"string": "maxLength", "array": "maxItems"}
    loose = [p for p, f in fields(schema(plural)) if f.get("type") in bound and bound[f["type"]] not in f]
    loose += [p for p, f in fields(schema(plural)) if "additionalProperties" in f and "maxProperties" not in f]
    loose += [p for p, f in fields(schema(plural)) if f.get("type") == "integer" and "minimum" not in f]
    assert loose == []


@both
def test_every_rule_says_which_field_it_refuses(plural: str) -> None:
    """One message a rule, and it begins with a field of the place where the rule stands, or with its own name."""
    for path, field in [("", schema(plural)), *fields(schema(plural))]:
        below = {p.strip(".[]{}").split(".")[-1] for p, _ in fields(field)}
        for rule in field.get("x-kubernetes-validations", []):
            name = rule["message"].partition(":")[0]
            assert name in below | {path.rpartition(".")[2], "devices"}, (path, rule)


@both
def test_conditions_are_a_map_by_type_and_explain_the_reasons(plural: str) -> None:
    conditions = schema(plural)["properties"]["status"]["properties"]["conditions"]
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])
    listed = re.findall(r"[A-Z]\w+", conditions["items"]["properties"]["reason"]["description"].partition(":")[2])
    assert listed == [reason.value for reason in Reason]


def test_what_this_version_does_not_carry_out_is_declared_and_refused() -> None:
    refused = [
        rule["message"]
        for _, field in fields(schema("sriovpolicies"))
        for rule in field.get("x-kubernetes-validations", [])
        if "is not carried out by this version" in rule["message"]
    ]
    assert refused == []


def test_the_spec_that_the_controller_writes_fits() -> None:
    matcher = DeviceMatcher(
        vendor="8086",
        device="10c9",
        class_code="0200",
        driver="igb",
        address=PciAddress.parse("0000:3b:00.0"),
        netdev="ens1f0",
        numa_node=0,
        permanent_mac="3c:fd:fe:12:34:56",
        serial_number="3c-fd-fe-ff-ff-12-34-56",
        slot="3-1",
    )
    link = LinkRequest(
        mac=Lasting.STABLE,
        guid=Lasting.STABLE,
        vlan=100,
        vlan_qos=3,
        trust=True,
        spoof_check=False,
        min_tx_rate=0,
        max_tx_rate=2**32 - 1,
        link_state=LinkState.AUTO,
    )
    pool = PoolRequest(resource_name="virtfn.dev/fast", indexes=(0, 1, 2, 6), driver="vfio-pci", link=link)
    pool = replace(pool, require_link=True)
    policy = PolicyConfig(name="fast", uid="u", generation=3, devices=(matcher,), count=7, pools=(pool,))
    whole = WholeRequest(resource_name="virtfn.dev/nic", driver="vfio-pci", require_link=True)
    other = replace(policy, name="nic", count=None, pools=(), whole=whole, allow_unsafe_no_iommu=True)
    spec = write_spec(NodeConfig(policies=(policy, other)), may_change=True)
    check(schema("sriovnodes")["properties"]["spec"], spec)
    read = read_spec(spec)
    assert read is not None
    assert read.config.policies == (policy, other)


def test_the_spec_of_a_node_has_exactly_the_fields_that_the_code_knows() -> None:
    declared = {path.replace("[]", "") for path, _ in fields(schema("sriovnodes")["properties"]["spec"])}
    assert declared - {""} == {f".{path}" for path in _paths(_SPEC)}


@pytest.mark.parametrize(("plural", "kind"), [("sriovnodes", NodeStatus), ("sriovpolicies", PolicyStatus)])
def test_a_status_has_exactly_the_fields_that_the_code_writes(plural: str, kind: type) -> None:
    declared = {path.replace("[]", "") for path, _ in fields(schema(plural)["properties"]["status"])}
    assert declared - {""} == set(written(kind))


def written(kind: type, path: str = "") -> Iterator[str]:
    """The path of every field that `wire` makes of a dataclass."""
    for field, hint in get_type_hints(kind).items():
        here = f"{path}.{camel(field)}"
        yield here
        for inner in (hint, *get_args(hint)):
            if is_dataclass(inner) and isinstance(inner, type):
                yield from written(inner, here)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("policy*.yaml")), ids=lambda path: path.stem)
def test_examples_fit_the_schema_and_the_code(path: Path) -> None:
    policy = yaml.safe_load(path.read_text())
    check(schema("sriovpolicies"), policy)
    read = policy_config(name="example", uid="u", generation=1, spec=policy["spec"])
    assert isinstance(read, PolicyConfig), read
