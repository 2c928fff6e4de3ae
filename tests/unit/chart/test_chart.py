"""The chart's files: values, schema, notes and CRDs. What they render to is tested where helm is: tests/cluster."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "virtfn"


def test_crds_are_the_same() -> None:
    ours = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    assert {path.name: path.read_text() for path in (CHART / "crds").iterdir()} == ours


def test_values_fit_their_schema_and_nothing_else_does() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    Draft7Validator.check_schema(schema)
    Draft7Validator(schema).validate(values)
    assert not Draft7Validator(schema).is_valid(values | {"bogus": 1})
    assert not Draft7Validator(schema).is_valid(values | {"image": values["image"] | {"pullPolicy": "never"}})


def test_every_value_that_a_template_reads_exists() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for path in (CHART / "templates").iterdir():
        for name in re.findall(r"\.Values\.([A-Za-z.]+)", path.read_text()):
            value: Any = values
            for part in name.split("."):
                assert part in value, (path.name, name)
                value = value[part]


def test_only_one_container_is_privileged_and_no_pod_shares_the_hosts_namespaces() -> None:
    text = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    assert text.count("privileged: true") == 1
    assert not re.search(r"host(Network|PID|IPC):", text)


def test_notes_tell_what_stays() -> None:
    notes = (CHART / "templates" / "NOTES.txt").read_text()
    for left in ("CRDs", "/var/lib/virtfn/journal.json", "SriovNode", "Lease", "kubectl delete svp"):
        assert left in notes


def test_no_registry_is_the_default() -> None:
    assert yaml.safe_load((CHART / "values.yaml").read_text())["image"]["registry"] == ""
    assert "--set image.registry=" in (ROOT / "README.md").read_text()
