"""The page of the API's objects, from crds/: each field with its type, bounds and meaning, and what is refused."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from virtfn_release.markdown import slug
from virtfn_release.reference.layout import code, page, plain, table

SOURCE = "crds/*.yaml"
Schema = Mapping[str, Any]


def crds_page(crds: list[Mapping[str, Any]]) -> str:
    """Return the page of some CustomResourceDefinitions, as parsed from YAML."""
    intro = (
        "What is written and read with kubectl. `kubectl explain svp.spec` shows the same of the cluster's version."
        " A field with a default may be left out; so may every field that is not marked as required."
    )
    parts = [part for crd in crds for version in crd["spec"]["versions"] for part in _of_crd(crd, version)]
    return page("Objects of the API", SOURCE, intro, *parts)


def _of_crd(crd: Mapping[str, Any], version: Mapping[str, Any]) -> Iterator[str]:
    names, schema = crd["spec"]["names"], version["schema"]["openAPIV3Schema"]
    yield f"## {names['kind']}"
    yield plain(schema["description"])
    short = ", ".join(code(name) for name in names.get("shortNames", ()))
    yield (
        f"`apiVersion: {crd['spec']['group']}/{version['name']}`, `kind: {names['kind']}`;"
        f" {crd['spec']['scope'].lower()}-scoped; short name {short}."
    )
    columns = version.get("additionalPrinterColumns", ())
    yield f"`kubectl get {names['plural']}` prints:"
    yield table(("Column", "Meaning"), [(code(it["name"]), it.get("description", "")) for it in columns])
    top = schema["properties"]
    for name in ("spec", "status"):
        if name in top:
            yield from _object(names["kind"], name, top[name])


def _object(kind: str, path: str, schema: Schema) -> Iterator[str]:
    """Yield the section of an object: its fields, what is refused, then the sections of objects in it."""
    yield f"### {_title(kind, path)}"
    yield plain(schema.get("description", ""))
    fields = schema.get("properties") or {}
    required = set(schema.get("required", ()))
    rows = [
        (_name(kind, path, name, field), _type(field), _default(field, name in required), _meaning(field))
        for name, field in fields.items()
    ]
    yield table(("Field", "Type", "Default", "Meaning"), rows)
    refused = [
        f"- `{message}`"
        for owner in (schema, *(field for field in fields.values() if _child(field) is None))
        for message in _messages(owner)
    ]
    if refused:
        yield "Refused, with these messages:"
        yield "\n".join(dict.fromkeys(refused))
    for name, field in fields.items():
        if child := _child(field):
            yield from _object(kind, f"{path}.{name}{child[0]}", child[1])


def _title(kind: str, path: str) -> str:
    return f"{kind} {path}"


def _name(kind: str, path: str, name: str, field: Schema) -> str:
    child = _child(field)
    return code(name) if child is None else f"[`{name}`](#{slug(_title(kind, f'{path}.{name}{child[0]}'))})"


def _child(field: Schema) -> tuple[str, Schema] | None:
    """Return the schema of an object with named fields that the field has or lists, and what its path ends with."""
    if field.get("properties"):
        return "", field
    items = field.get("items", {})
    return ("[]", items) if items.get("properties") else None


def _type(field: Schema) -> str:
    if field.get("x-kubernetes-int-or-string"):
        return "integer or string"
    match field.get("type"):
        case "array":
            return f"list of {_type(field['items'])}"
        case "object" if "additionalProperties" in field:
            return f"map to {_type(field['additionalProperties'])}"
        case kind:
            return str(kind or "any")


def _default(field: Schema, required: bool) -> str:
    if required:
        return "required"
    return code(_written(field["default"])) if "default" in field else ""


def _written(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "{" + ", ".join(f"{key}: {_written(each)}" for key, each in value.items()) + "}"
        case _:
            return str(value)


def _meaning(field: Schema) -> str:
    bounds = list(_bounds(field))
    return " ".join([field.get("description", ""), *bounds])


def _bounds(field: Schema) -> Iterator[str]:
    if choices := field.get("enum"):
        yield f"One of {', '.join(code(str(choice)) for choice in choices)}."
    if "minimum" in field and "maximum" in field:
        yield f"From {field['minimum']} to {field['maximum']}."
    elif field.get("minimum"):
        yield f"At least {field['minimum']}."
    if field.get("type") == "array" and "maxItems" in field:
        yield (
            f"{field['minItems']} to {field['maxItems']} items."
            if field.get("minItems")
            else f"At most {field['maxItems']}."
        )


def _messages(schema: Schema) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield re.sub(r"`", "'", " ".join(rule["message"].split()))
