"""The metrics and labels that a PromQL expression names: a scan of its text, no parser."""

import re

from virtfn_host.metrics import METRICS, Kind, Metric

TARGET = frozenset({"node", "component", "pod", "job", "namespace", "container", "endpoint"})
"""Labels that Prometheus gives to a series of a pod; see docs/metrics.md."""

_METRIC = re.compile(r"\b(virtfn_\w+|up)\b(?:\{([^}]*)\})?")
_GROUPED = re.compile(r"\b(?:by|on|without|ignoring) \(([^)]*)\)")
_STRING = re.compile(r'"[^"]*"')
PARTS = {Kind.HISTOGRAM: ("_bucket", "_count", "_sum")}

BY_SAMPLE: dict[str, Metric] = {m.name + part: m for m in METRICS for part in PARTS.get(m.kind, ("",))}
"""Each metric by the names of its samples."""


def samples(expression: str) -> set[str]:
    """Return the names of all samples that an expression asks for."""
    return {name for name, _ in _METRIC.findall(_outside_strings(expression))}


def labels(expression: str) -> set[str]:
    """Return the names of all labels that an expression matches or groups by."""
    text = _outside_strings(expression)
    matched = {re.split(r"[=!~ ]", one)[0] for _, inner in _METRIC.findall(text) for one in inner.split(",") if one}
    return matched | {name.strip() for inner in _GROUPED.findall(text) for name in inner.split(",")}


def known_labels(expression: str) -> set[str]:
    """Return the labels that the metrics of an expression have."""
    own = {label for name in samples(expression) & BY_SAMPLE.keys() for label in BY_SAMPLE[name].labels}
    return own | TARGET | {"le"}


def _outside_strings(expression: str) -> str:
    return _STRING.sub('""', expression)
