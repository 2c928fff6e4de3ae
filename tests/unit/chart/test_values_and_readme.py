"""values.yaml, its schema and the chart's README.md have the same keys, and Chart.yaml tells Artifact Hub the truth.

Whether README.md is exactly what helm-docs makes is tested where that is: tests/cluster/test_chart_goldens.py.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "virtfn"
TEXT = (CHART / "values.yaml").read_text()
VALUES: dict[str, Any] = yaml.safe_load(TEXT)
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
README = (CHART / "README.md").read_text()
ROWS = dict(re.findall(r"^\| ([\w.]+) \| (?:string|int|bool|list|object) \| .* \| (.*) \|$", README, re.MULTILINE))
MAPS = ("nodeSelector", "labels", "resources")
"""Keys whose value is one row, although values.yaml has something in it."""
OPEN = ("global", "kubernetes", "before")
"""Parts of the schema that take any key: what other charts share, Kubernetes' own types, and values of older charts."""


def keys(values: dict[str, Any], before: str = "") -> Iterator[str]:
    """Every key that can be set by itself, as a dotted name."""
    for name, value in values.items():
        if isinstance(value, dict) and value and name not in MAPS:
            yield from keys(value, f"{before}{name}.")
        else:
            yield before + name


def test_the_readme_has_a_row_for_every_key_and_no_other() -> None:
    assert list(ROWS) == list(keys(VALUES)), "see `make chart-readme`"


@pytest.mark.parametrize("key", list(keys(VALUES)))
def test_a_key_is_described(key: str) -> None:
    assert len(ROWS[key]) > 15
    assert ROWS[key].endswith((".", "`", ")", "="))


def test_every_comment_for_the_readme_stands_above_a_key() -> None:
    assert TEXT.count("# -- ") == len(ROWS)
    for line, after in zip(TEXT.splitlines(), TEXT.splitlines()[1:], strict=False):
        if line.lstrip().startswith("# -- "):
            assert after.strip(), line


def objects(schema: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of the schema that describes an object, with the name that it is under."""
    if isinstance(schema, dict):
        if "object" in (schema.get("type"), *([] if isinstance(schema.get("type"), str) else schema.get("type") or [])):
            yield name, schema
        for key, part in schema.items():
            yield from objects(part, key)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part, name)


def test_no_object_takes_a_key_that_the_schema_does_not_know() -> None:
    loose = [name for name, part in objects(SCHEMA) if "additionalProperties" not in part and name not in OPEN]
    assert loose == []
    assert len(list(objects(SCHEMA))) > 40


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """A part of the schema, that which a reference names."""
    return SCHEMA["definitions"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


def test_the_schema_demands_every_key_that_the_values_have() -> None:
    """So that `--set agent.image=null` says what is missing, instead of a template that fails."""

    def missing(schema: dict[str, Any], values: dict[str, Any], before: str) -> Iterator[str]:
        for name, value in values.items():
            if name not in schema.get("required", []):
                yield before + name
            part = resolved(schema["properties"][name])
            if isinstance(value, dict) and "required" in part:
                yield from missing(part, value, f"{before}{name}.")

    assert [name for name in missing(SCHEMA, VALUES, "") if not name.startswith("image.digests.")] == []


# --- Chart.yaml ------------------------------------------------------------------------------------------------------

META: dict[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text())
NOTES: dict[str, str] = META["annotations"]


def test_artifact_hub_is_told_of_the_crds_that_there_are() -> None:
    told = {(it["kind"], it["version"], it["name"]) for it in yaml.safe_load(NOTES["artifacthub.io/crds"])}
    crds = [yaml.safe_load(path.read_text()) for path in (CHART / "crds").iterdir()]
    assert told == {
        (crd["spec"]["names"]["kind"], version["name"], crd["metadata"]["name"])
        for crd in crds
        for version in crd["spec"]["versions"]
    }


def test_artifact_hub_shows_an_example_of_this_project() -> None:
    (example,) = yaml.safe_load(NOTES["artifacthub.io/crdsExamples"])
    ours = [yaml.safe_load(path.read_text()) for path in (ROOT / "examples").glob("policy-*.yaml")]
    assert example in ours


def test_artifact_hub_is_told_the_license_of_the_project() -> None:
    assert f'license = "{NOTES["artifacthub.io/license"]}"' in (ROOT / "pyproject.toml").read_text()
