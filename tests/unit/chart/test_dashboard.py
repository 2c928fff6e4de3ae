"""The Grafana dashboard: its panels ask for metrics that there are, use each of them, and do not overlap."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from promql import BY_SAMPLE, known_labels, labels, samples

from virtfn_host.metrics import METRICS

ROOT = Path(__file__).resolve().parents[3]
DASHBOARD = json.loads((ROOT / "charts/virtfn/files/dashboard.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
each = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])


@each
def test_a_panel_asks_for_metrics_and_labels_that_there_are(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        assert samples(target["expr"])
        assert samples(target["expr"]) <= BY_SAMPLE.keys()
        assert labels(target["expr"]) <= known_labels(target["expr"])


@each
def test_a_panel_says_what_it_shows_and_asks_the_source_that_is_chosen(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".") or panel["type"] == "table"
    assert panel["type"] in ("stat", "timeseries", "bargauge", "table")
    assert {str(one["datasource"]) for one in (panel, *panel["targets"])} == {str(panel["datasource"])}
    assert panel["datasource"]["uid"] == "${datasource}"


def test_every_metric_is_shown() -> None:
    shown = {BY_SAMPLE[name].name for panel in PANELS for one in panel["targets"] for name in samples(one["expr"])}
    assert shown == {metric.name for metric in METRICS}


def test_no_two_panels_overlap_and_none_leaves_the_grid() -> None:
    for one, other in combinations((panel["gridPos"] for panel in PANELS), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


@pytest.mark.parametrize("field", ["uid", "title", "schemaVersion", "panels", "templating", "time"])
def test_the_dashboard_has_what_grafana_needs(field: str) -> None:
    assert DASHBOARD[field]
