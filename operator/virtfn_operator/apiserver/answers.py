"""Checks the shape of an API server's answer before anything is read from it. Pure.

These checks hold for every object and every list; the API server itself checks the schema of our kinds. An answer that
fails them does not come from a working API server and is treated like no answer.
"""

from collections.abc import Mapping
from typing import Any

EVENTS = frozenset(("ADDED", "MODIFIED", "DELETED"))


def check_object(document: object) -> str | None:
    """Return why this is not an object, or None."""
    if not isinstance(document, Mapping):
        return "the answer is not an object"
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
        return "the answer is an object without metadata and name"
    if not isinstance(metadata.get("labels") or {}, Mapping):
        return "metadata.labels is not an object"
    generation = metadata.get("generation", 0)
    if not isinstance(generation, int) or isinstance(generation, bool):
        return "metadata.generation is not a number"
    for part in ("spec", "status"):
        if not isinstance(document.get(part) or {}, Mapping):
            return f"{part} is not an object"
    return None


def check_list(document: Mapping[str, Any]) -> str | None:
    """Return why this is not a list of objects, or None. A list without `items` is invalid, not empty."""
    if not isinstance(document.get("metadata"), Mapping):
        return "the answer is a list without metadata"
    items = document.get("items")
    if items is None and "items" in document and str(document.get("kind", "")).endswith("List"):
        return None  # an empty list, as Go writes it
    if not isinstance(items, list):
        return "the answer has no list of items"
    for index, item in enumerate(items):
        if (trouble := check_object(item)) is not None:
            return f"items[{index}]: {trouble}"
    return None


def check_kinds(document: Mapping[str, Any]) -> str | None:
    """Return why this is not the list of resources of a group and version, or None."""
    resources = document.get("resources")
    if not isinstance(resources, list):
        return "the answer lists no resources"
    named = all(isinstance(each, Mapping) and isinstance(each.get("name"), str) for each in resources)
    return None if named else "the answer lists resources without names"


def check_event(document: object) -> str | None:
    """Return why this line of a watch cannot be passed on, or None."""
    if not isinstance(document, Mapping):
        return "a line of the watch is not an object"
    kind, about = document.get("type"), document.get("object")
    if kind == "ERROR":
        return f"the watch ended with an error: {_short(about)}"
    if kind == "BOOKMARK":
        return (
            None if isinstance(about, Mapping) and isinstance(about.get("metadata"), Mapping) else "a strange bookmark"
        )
    if kind not in EVENTS:
        return f"an event of type {kind!r}"
    return check_object(about)


def _short(about: object) -> str:
    fields = about if isinstance(about, Mapping) else {}
    return " ".join(f"{fields.get('code', '')} {fields.get('message', '')}".split())[:200]
