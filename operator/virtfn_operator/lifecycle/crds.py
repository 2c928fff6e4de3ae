"""What becomes of a CRD of the cluster when the chart brings its own: applied, or left as it is. Pure.

A CRD only ever grows. `helm upgrade` may also bring an older chart, and under an older schema the API server would drop
the fields that newer objects have, with their next write, or refuse their values. So where the chart's CRD only lacks
something, the cluster's one stays; processes of earlier versions ignore fields that they do not know (decision 0020).
Where each lacks something of the other, people decide.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from virtfn_operator.api.foreign import entries, mapping, text

VERSIONS_LIMIT = 16
"""Versions of one CRD that are read."""

SHOWN = 5
"""Fields and values that a message names."""

_AT_MOST = ("maximum", "maxItems", "maxLength", "maxProperties")
_AT_LEAST = ("minimum", "minItems", "minLength", "minProperties")

_INNER = ("[]", ".*")
"""Ends of the paths of items and of values; what they are in is the field."""


class Fate(StrEnum):
    """What to do with a CRD."""

    APPLY = "apply"
    CURRENT = "current"
    NEWER = "newer"
    """The cluster's CRD has all that the chart's one has, and more."""
    CONFLICT = "conflict"
    """Each has something that the other one lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrdVerdict:
    """What to do with one CRD, and what to say about it."""

    fate: Fate
    message: str


def judge(name: str, now: Mapping[str, Any] | None, then: Mapping[str, Any]) -> CrdVerdict:
    """Decide what to do.

    Args:
        name: the CRD's name.
        now: the CRD as the cluster has it; None: it has none.
        then: the CRD as the API server says that it would be.
    """
    if now is None:
        return CrdVerdict(fate=Fate.APPLY, message=f"{name} is new")
    if now.get("spec") == then.get("spec"):
        return CrdVerdict(fate=Fate.CURRENT, message=f"{name} is current")
    lacks, brings = more_than(now, then), more_than(then, now)
    if lacks and brings:
        message = f"{name} of the cluster has also {_some(lacks)}; the chart's one has also {_some(brings)}"
        return CrdVerdict(fate=Fate.CONFLICT, message=message)
    if lacks:
        message = f"{name} of the cluster is newer than the chart's and stays; it has also {_some(lacks)}"
        return CrdVerdict(fate=Fate.NEWER, message=message)
    return CrdVerdict(fate=Fate.APPLY, message=f"{name} is upgraded, with {len(brings)} new fields or wider limits")


def _some(found: list[str]) -> str:
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def more_than(crd: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return what a CRD allows and the other one does not: fields, words of an enum, and values beyond a bound.

    Types, patterns, required fields and rules are not compared: of two of them nothing tells which allows more.
    """
    here, there = dict(_schemas(crd)), dict(_schemas(other))
    fields = [path for path in here if path not in there and not path.endswith(_INNER)]
    wider = (f"{path}: {what}" for path in here if path in there for what in _wider(here[path], there[path]))
    return sorted(fields) + sorted(wider)


def _wider(schema: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(words := other.get("enum"), list):
        own = schema.get("enum")
        yield from (str(word) for word in own if word not in words) if isinstance(own, list) else ("any value",)
    for keys, sign in ((_AT_MOST, 1), (_AT_LEAST, -1)):
        for key in keys:
            if (bound := _bound(schema, key, sign)) > _bound(other, key, sign):
                yield f"no {key}" if math.isinf(bound) else f"{key} {schema[key]}"


def _bound(schema: Mapping[str, Any], key: str, sign: int) -> float:
    """Return a bound so that the higher one allows more; infinite where there is none."""
    found = schema.get(key)
    return sign * found if isinstance(found, int | float) else math.inf


def _schemas(crd: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every schema of all versions with its path, like `v1alpha1.spec.devices[].vendor`."""
    for version in entries(mapping(crd.get("spec")).get("versions"), VERSIONS_LIMIT):
        schema = mapping(mapping(version.get("schema")).get("openAPIV3Schema"))
        yield from _below(schema, text(version.get("name"), 63))


def _below(schema: Mapping[str, Any], before: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    inner = {f".{name}": found for name, found in mapping(schema.get("properties")).items()}
    inner |= {end: schema.get(key) for end, key in zip(_INNER, ("items", "additionalProperties"), strict=True)}
    for end, found in inner.items():
        if isinstance(found, Mapping):
            yield f"{before}{end}", found
            yield from _below(found, f"{before}{end}")


def established(crd: Mapping[str, Any]) -> bool:
    """Whether the API server serves objects of this CRD."""
    conditions = entries(mapping(crd.get("status")).get("conditions"), 64)
    return any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)
