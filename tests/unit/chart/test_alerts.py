"""The chart's alerts: each asks for metrics that there are, and docs/runbook.md says what to do about it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from promql import BY_SAMPLE, known_labels, labels, samples

from virtfn_host.core.values.reasons import CALM

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "charts/virtfn/files/alerts.yaml").read_text()
RULES: list[dict[str, Any]] = [rule for group in yaml.safe_load(TEXT)["groups"] for rule in group["rules"]]
EXPRESSIONS = {rule["alert"]: " ".join(rule["expr"].split()) for rule in RULES}
each = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


def test_every_kind_of_trouble_has_an_alert() -> None:
    assert len(EXPRESSIONS) == len(RULES)
    text = " ".join(EXPRESSIONS.values())
    for asked in (
        "virtfn_stuck_seconds",
        "virtfn_node_ready",
        'state="free"',
        "unhealthy",
        "Drifted",
        "up{",
        "version",
    ):
        assert asked in text


@each
def test_it_asks_for_metrics_and_labels_that_there_are(rule: dict[str, Any]) -> None:
    asked = samples(rule["expr"])
    assert asked
    assert asked <= BY_SAMPLE.keys() | {"up"}
    assert labels(rule["expr"]) <= known_labels(rule["expr"])


@each
def test_it_has_the_fields_of_a_rule(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Virtfn[A-Z][A-Za-z]+", rule["alert"])
    assert re.fullmatch(r"[1-9][0-9]*[mh]", rule.get("for", "1m"))
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "description"}
    assert rule["expr"].count("(") == rule["expr"].count(")")


@each
def test_its_text_names_labels_that_its_expression_keeps(rule: dict[str, Any]) -> None:
    named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    groups = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
    kept = {name.strip() for inner in groups for name in inner.split(",")}
    assert named <= (kept if groups else known_labels(rule["expr"]) | {"process"})


@each
def test_the_runbook_says_what_to_do(rule: dict[str, Any]) -> None:
    rows = re.findall(r"^\| `(\w+)` \| .{20,} \|$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert rows.count(rule["alert"]) == 1


def test_only_stuck_pages() -> None:
    assert [rule["alert"] for rule in RULES if rule["labels"]["severity"] == "critical"] == ["VirtfnStuck"]


@pytest.mark.parametrize("alert", ["VirtfnNodeNotReady", "VirtfnNodeNote"])
def test_calm_reasons_are_those_of_the_code(alert: str) -> None:
    (words,) = re.findall(r'reason!~"([^"]+)"', EXPRESSIONS[alert])
    assert set(words.split("|")) == set(CALM)
    assert next(rule for rule in RULES if rule["alert"] == alert)["for"] == "15m"
