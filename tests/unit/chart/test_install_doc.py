"""docs/install.md: the values that it gives are values of the chart, and the tests that it names are there."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "install.md").read_text()
CHART = ROOT / "charts" / "virtfn"
SCHEMA = Draft7Validator(json.loads((CHART / "values.schema.json").read_text()))
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
BLOCKS = [yaml.safe_load(dedent(block)) for block in re.findall(r"\n\n((?: {4}.*\n)+)", TEXT)]
SETTINGS = re.findall(r"`([a-z]\w+(?:\.\w+)+)=([^`]+)`", TEXT)


def merged(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Values with others over them, as Helm does it."""
    found = copy.deepcopy(values)
    for name, value in more.items():
        both = isinstance(value, dict) and isinstance(found.get(name), dict)
        found[name] = merged(found[name], value) if both else value
    return found


def test_there_are_blocks_and_settings() -> None:
    assert len(BLOCKS) >= 2
    assert len(SETTINGS) >= 3


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: "+".join(block))
def test_a_block_of_values_fits_the_chart(block: dict[str, Any]) -> None:
    assert [error.message for error in SCHEMA.iter_errors(merged(VALUES, block))] == []


@pytest.mark.parametrize(("path", "text"), SETTINGS)
def test_a_setting_fits_the_chart(path: str, text: str) -> None:
    block: Any = yaml.safe_load(re.sub(r"^\{(.*)\}$", r"[\1]", text))  # Helm's lists
    for name in reversed(path.split(".")):
        block = {name: block}
    assert [error.message for error in SCHEMA.iter_errors(merged(VALUES, block))] == []


def named_values() -> Iterator[str]:
    """What looks like a value: a dotted name that begins with a part of values.yaml."""
    for name in re.findall(r"`([A-Za-z.]+)`", TEXT):
        if name.partition(".")[0] in VALUES:
            yield name


def test_every_value_that_is_named_exists() -> None:
    assert set(named_values()) >= {"kubelet.rootDir", "namespace.labels"}
    for name in named_values():
        value = VALUES
        for part in name.split("."):
            assert part in value, name
            value = value[part]


def test_what_it_names_of_the_project_exists() -> None:
    for path in re.findall(r"`((?:tests|charts)/[^`]+)`", TEXT):
        assert (ROOT / path).is_file(), path
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / path).is_file(), path
