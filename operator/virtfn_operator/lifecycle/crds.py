"""What becomes of a CRD of the cluster when the chart brings its own: applied, or left as it is. Pure.

A CRD only ever grows. `helm upgrade` may also bring an older chart, and under an older schema the API server would drop
the fields that newer objects have, with their next write. So where the chart's CRD only lacks fields, the cluster's one
stays; processes of earlier versions ignore fields that they do not know (decision 0020).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from virtfn_operator.api.foreign import entries, mapping, text

VERSIONS_LIMIT = 16
"""Versions of one CRD that are read."""

SHOWN = 5
"""Fields that a message names."""


class Fate(StrEnum):
    """What to do with a CRD."""

    APPLY = "apply"
    CURRENT = "current"
    NEWER = "newer"
    """The cluster's CRD has all that the chart's one has, and more."""


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
    has, brings = frozenset(fields(now)), frozenset(fields(then))
    if has > brings:
        lacks = sorted(has - brings)
        more = f" and {len(lacks) - SHOWN} more" if len(lacks) > SHOWN else ""
        message = f"{name} of the cluster is newer than the chart's and stays; it has also {', '.join(lacks[:SHOWN])}"
        return CrdVerdict(fate=Fate.NEWER, message=message + more)
    return CrdVerdict(fate=Fate.APPLY, message=f"{name} is upgraded, with {len(brings - has)} new fields")


def fields(crd: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths of all fields of all versions, like `v1alpha1.spec.devices.vendor`."""
    for version in entries(mapping(crd.get("spec")).get("versions"), VERSIONS_LIMIT):
        schema = mapping(mapping(version.get("schema")).get("openAPIV3Schema"))
        yield from _below(schema, text(version.get("name"), 63))


def _below(schema: Mapping[str, Any], before: str) -> Iterator[str]:
    if not schema:
        return
    for name, inner in mapping(schema.get("properties")).items():
        yield f"{before}.{name}"
        yield from _below(mapping(inner), f"{before}.{name}")
    for part in ("items", "additionalProperties"):
        yield from _below(mapping(schema.get(part)), before)


def established(crd: Mapping[str, Any]) -> bool:
    """Whether the API server serves objects of this CRD."""
    conditions = entries(mapping(crd.get("status")).get("conditions"), 64)
    return any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)
