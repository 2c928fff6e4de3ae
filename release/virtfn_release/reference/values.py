"""The page of the chart's values: names, defaults and comments from values.yaml, types from its schema."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from virtfn_release.reference.layout import code, page, plain, table

SOURCE = "charts/virtfn/values.yaml and values.schema.json"
Schema = Mapping[str, Any]
_COMMENT = re.compile(r"\s*#\s?(.*)")
_TRAILING = re.compile(r"\s#\s(.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value, or a group of values."""

    path: tuple[str, ...]
    comment: str
    default: Any
    group: bool


def values_page(text: str, schema: Schema) -> str:
    """Return the page of a values.yaml and its schema."""
    intro = (
        "For `helm install --set NAME=VALUE`, or in a file for `--values`. The schema refuses a name that is not here,"
        " and a value of another type. [Installing on your distribution](../install.md) says which of them a"
        " distribution needs."
    )
    return page("Values of the chart", SOURCE, intro, *_sections(list(read_values(text)), schema))


def read_values(text: str) -> Iterator[Value]:
    """Yield the values of a values.yaml in its order, a group before what is in it.

    A value's comment is what stands directly above it, or behind it in its line. Lines that only tools read (`@...`)
    are left out, and the `--` with which helm-docs wants a comment to begin.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise TypeError("values.yaml is no mapping")
    yield from _below(root, (), text.splitlines())


def _below(node: yaml.MappingNode, path: tuple[str, ...], lines: list[str]) -> Iterator[Value]:
    for key, value in node.value:
        here = (*path, str(key.value))
        group = isinstance(value, yaml.MappingNode) and _is_group(value)
        default = yaml.SafeLoader("").construct_document(value)
        line = key.start_mark.line
        yield Value(path=here, comment=_comment(lines, line, group=group), default=default, group=group)
        if isinstance(value, yaml.MappingNode) and group:
            yield from _below(value, here, lines)


def _is_group(node: yaml.MappingNode) -> bool:
    """Whether a map has values of the chart; a map of labels is one value."""
    return bool(node.value) and not node.flow_style and not any({".", "/"} & set(key.value) for key, _ in node.value)


def _comment(lines: list[str], line: int, *, group: bool) -> str:
    above: list[str] = []
    while line > 0 and (match := _COMMENT.fullmatch(lines[line - 1 - len(above)])) and len(above) < line:
        above.insert(0, match[1])
    if above:
        kept = [text for text in above if not text.startswith("@")]
        return re.sub(r"^-- ", "", " ".join(kept).strip())
    trailing = None if group else _TRAILING.search(lines[line])
    return trailing[1] if trailing else ""


def _sections(values: list[Value], schema: Schema) -> Iterator[str]:
    singles = [value for value in values if len(value.path) == 1 and not value.group]
    if singles:
        yield "## For the whole chart"
        yield _table(singles, schema)
    for top in (value for value in values if len(value.path) == 1 and value.group):
        yield f"## {top.path[0]}"
        yield plain(top.comment)
        within = [value for value in values if value.path[0] == top.path[0] and len(value.path) > 1]
        yield _table([value for value in within if not value.group or value.comment], schema)


def _table(values: list[Value], schema: Schema) -> str:
    rows = [
        (
            code(".".join(value.path)),
            "" if value.group else _type(_schema_of(schema, value.path), value.default),
            "" if value.group else code(json.dumps(value.default, ensure_ascii=False)),
            value.comment or str(_schema_of(schema, value.path).get("description", "")),
        )
        for value in values
    ]
    return table(("Value", "Type", "Default", "Meaning"), rows)


def _schema_of(schema: Schema, path: tuple[str, ...]) -> Schema:
    found = schema
    for name in path:
        found = _resolved(schema, found).get("properties", {}).get(name, {})
    return _resolved(schema, found)


def _resolved(root: Schema, node: Schema) -> Schema:
    while "$ref" in node:
        target: Any = root
        for name in str(node["$ref"]).removeprefix("#/").split("/"):
            target = target[name]
        node = target
    return node


def _type(schema: Schema, default: object) -> str:
    if choices := schema.get("enum"):
        return ", ".join(code(str(choice)) for choice in choices)
    match schema.get("type"):
        case list() as kinds:
            return " or ".join(str(kind) for kind in kinds)
        case str() as kind:
            return {"array": "list", "object": "map"}.get(kind, kind)
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "list", dict: "map"}
    return names.get(type(default), "any")
