"""Values of the chart and fields of the API that the docs name in text are there."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from crd_schema import crd_schema
from doc_commands import DECISIONS, ROOT, doc_pages

from virtfn_release.markdown import spans

VALUES = yaml.safe_load((ROOT / "charts/virtfn/values.yaml").read_text())
ROOTS = [crd_schema(plural) for plural in ("sriovpolicies", "sriovnodes")]
FILES = {"json", "log", "md", "py", "service", "sock", "svg", "tar", "toml", "txt", "yaml", "zip"}
"""What names of files end with."""
NOT_OURS = {"status.phase": "a pod's"}
"""Fields of other objects."""


def named() -> Iterator[tuple[str, str]]:
    """Place and text of each dotted name, without `=value` and `: value` behind it; decisions tell of the past."""
    for page, text in doc_pages().items():
        for line, span in () if page.startswith(DECISIONS) else spans(text):
            match = re.match(r"([a-z]\w*(?:\[\])?(?:\.\w+(?:\[\])?)+)(?=$|=|: )", span)
            if match and match[1].rpartition(".")[2] not in FILES and match[1] not in NOT_OURS:
                yield f"{page}:{line}", match[1]


NAMED = tuple(named())


def is_value(name: str) -> bool:
    place: Any = VALUES
    for part in name.split("."):
        if not isinstance(place, dict) or part not in place:
            return isinstance(place, dict) and not place  # labels and the like, which are empty by default
        place = place[part]
    return True


def below(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema and every object in it."""
    yield schema
    for child in (schema.get("properties") or {}).values():
        yield from below(child)
    yield from below(schema["items"]) if "items" in schema else ()


def is_field(name: str) -> bool:
    """Whether an object of the API has such a path, from `spec`, `status` or any object in them."""
    return any(_has(start, name.replace("[]", "").split(".")) for root in ROOTS for start in below(root))


def _has(schema: dict[str, Any], parts: list[str]) -> bool:
    for part in parts:
        schema = schema.get("items", schema)
        if part not in (schema.get("properties") or {}):
            return False
        schema = schema["properties"][part]
    return True


def first_parts() -> set[str]:
    """First parts of names that are ours: values of the chart, and fields that are objects."""
    objects = {
        name for root in ROOTS for at in below(root) for name, it in (at.get("properties") or {}).items() if _in(it)
    }
    return {name for name, value in VALUES.items() if isinstance(value, dict)} | objects


def _in(schema: dict[str, Any]) -> bool:
    return "properties" in schema.get("items", schema)


OLDER = ("agent.nodeSelector", "devicePlugin.nodeSelector")
"""Values of charts before this one, which the chart's README says what became of."""


def test_every_value_and_field_that_is_named_exists() -> None:
    ours = [(place, name) for place, name in NAMED if name.partition(".")[0].removesuffix("[]") in first_parts()]
    assert len(ours) > 100
    unknown = [(place, name) for place, name in ours if not is_value(name) and not is_field(name)]
    assert [it for it in unknown if not (it[0].startswith("charts/") and it[1] in OLDER)] == []


@pytest.mark.parametrize("name", ["metrics.enabled", "namespace.labels", "metrics.rules.labels.release"])
def test_a_value_is_known(name: str) -> None:
    assert is_value(name)


@pytest.mark.parametrize("name", ["spec.devices", "status.pools[].withheld", "grant.rdma", "disruption.whenInUse"])
def test_a_field_is_known(name: str) -> None:
    assert is_field(name)


@pytest.mark.parametrize(
    "name", ["metric.enabled", "metrics.on", "spec.device", "status.pool[].withheld", "grant.rmda"]
)
def test_a_wrong_name_is_neither(name: str) -> None:
    assert not is_value(name)
    assert not is_field(name)
