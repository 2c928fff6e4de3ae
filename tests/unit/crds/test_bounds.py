"""What the code cuts a status to is what the schema lets through: one place has the numbers, the CRDs repeat them."""

from dataclasses import fields as fields_of
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from virtfn_operator.agent.recall import TEXT_LIMIT
from virtfn_operator.agent.shorten import shortened
from virtfn_operator.api.bounds import bounded, cut_text
from virtfn_operator.api.node_spec import POLICIES_LIMIT, SPEC_LIMIT
from virtfn_operator.api.node_status import NodeStatus, State, wire
from virtfn_operator.controller.status import PolicyStatus

ROOT = Path(__file__).resolve().parents[3]
KINDS = [("sriovnodes", NodeStatus), ("sriovpolicies", PolicyStatus)]


def schema(plural: str, part: str) -> dict[str, Any]:
    crd = yaml.safe_load((ROOT / "crds" / f"{plural}.yaml").read_text())
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]
    return found


def bounds(node: dict[str, Any], path: str = "") -> dict[str, int]:
    """Path to bound of every text and list of a schema."""
    here = node.get("maxLength", node.get("maxItems"))
    found = {path: here} if here is not None else {}
    for name, child in (node.get("properties") or {}).items():
        found |= bounds(child, f"{path}.{name}")
    return found | (bounds(node["items"], f"{path}[]") if "items" in node else {})


@pytest.mark.parametrize(("plural", "kind"), KINDS)
def test_every_bound_of_a_status_is_the_codes(plural: str, kind: type) -> None:
    declared = bounds(schema(plural, "status"))
    declared.pop(".policies[].state", None)  # an enum in the code: no word of it is longer
    assert max(map(len, State)) < 64
    assert bounded(kind) == declared


def test_the_bounds_of_a_spec_that_are_counted_before_reading() -> None:
    policies = schema("sriovnodes", "spec")["properties"]["policies"]
    assert policies["maxItems"] == POLICIES_LIMIT
    assert SPEC_LIMIT < 1024 * 1024  # spec and status together must fit 1.5 MiB
    assert bounds(schema("sriovnodes", "status"))[".functions[].vfs[].indexes"] == TEXT_LIMIT


def much(hint: Any, text: str, many: int) -> Any:
    """A value of this type in which everything is too long."""
    if get_origin(hint) is tuple:
        return tuple(much(get_args(hint)[0], text, many) for _ in range(many))
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        return hint(**{field.name: much(hints[field.name], text, many) for field in fields_of(hint)})
    members = [member for member in get_args(hint) if member is not type(None)]
    if members:
        return much(members[0], text, many)
    return {int: 7, bool: True, State: State.READY}.get(hint, text)


@pytest.mark.parametrize("text", ["x" * 40_000, "\ud800" * 40_000, "\U0001f600" * 40_000])
@pytest.mark.parametrize(("plural", "kind"), KINDS)
def test_a_status_in_which_everything_is_too_long_fits_the_schema(plural: str, kind: type, text: str) -> None:
    document = wire(much(kind, text, 3))
    for condition in document["conditions"]:
        condition |= {"status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    Draft202012Validator(schema(plural, "status")).validate(document)
    Draft202012Validator(schema("sriovnodes", "status")).validate(shortened(document, 1, "why"))
    str(document).encode()


def test_a_list_that_is_too_long_is_cut() -> None:
    document = wire(much(PolicyStatus, "x", 400))
    assert (len(document["problems"]), len(document["conditions"])) == (20, 16)


@given(st.text(max_size=40), st.integers(1, 30))
def test_a_text_is_cut_to_its_bound_and_says_so(text: str, most: int) -> None:
    found = cut_text(text, most)
    assert len(found) <= most
    assert found == text.encode("utf-8", "replace").decode() or found.endswith("…")
