"""Values checked against the schemas in crds/, strictly: as kubectl's validation does, unknown fields are refused."""

from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]


def crd_schema(plural: str) -> dict[str, Any]:
    """Return the schema of the only version of a CRD."""
    crd = yaml.safe_load((ROOT / "crds" / f"{plural}.yaml").read_text())
    version: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return version


def check(wanted: dict[str, Any], value: object) -> None:
    """Valid, and without a field that the API server would drop."""
    Draft202012Validator(closed(wanted)).validate(value)


def closed(node: dict[str, Any]) -> dict[str, Any]:
    """The schema with unknown fields refused, as kubectl's strict validation does."""
    node = dict(node)
    if "properties" in node:
        node["properties"] = {name: closed(child) for name, child in node["properties"].items()}
        node.setdefault("additionalProperties", False)
    if "items" in node:
        node["items"] = closed(node["items"])
    return node
