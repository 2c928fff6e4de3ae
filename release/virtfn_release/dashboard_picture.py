"""Draws the chart's Grafana dashboard as an SVG, from recorded answers to its queries: for docs, without Grafana.

It knows the four kinds of panels that the dashboard has, and draws them roughly as Grafana does.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from virtfn_lab.paths import repository
from virtfn_release.drawing import AXIS, Box, Recorded, Series, bars, curves, number, text

DASHBOARD = Path("charts/virtfn/files/dashboard.json")
DATA = Path("docs/dashboard-data.json")
PICTURE = Path("docs/dashboard.svg")

COLUMN, ROW, GAP = 50, 34, 8
"""Pixels of a unit of Grafana's grid (24 columns), and between panels."""

TABLE_ROWS = 8

NO_DATA = "No data"

HIDDEN = frozenset({"__name__", "namespace", "job", "pod", "component"})
"""Labels that a table does not show."""

COLORS = {"green": "#37872d", "orange": "#e0752d", "red": "#c4162a"}


def write_picture() -> Path:
    """Draw the dashboard into docs; return the path."""
    path = repository() / PICTURE
    path.write_text(picture(read(DASHBOARD), recorded(read(DATA))))
    return path


def read(path: Path) -> Any:
    """Return the JSON of a file of the repository."""
    return json.loads((repository() / path).read_text())


def recorded(data: Mapping[str, Any]) -> Recorded:
    """Return the recorded answers: each query's series, with one value for each `step` seconds."""
    answers = {
        query: [Series(labels=one["labels"], values=tuple(one["values"])) for one in series]
        for query, series in data["queries"].items()
    }
    return Recorded(step=data["step"], answers=answers)


def picture(dashboard: Mapping[str, Any], data: Recorded) -> str:
    """Return the SVG of a dashboard."""
    panels = dashboard["panels"]
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in panels) * ROW + GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{24 * COLUMN + GAP}" height="{height}"'
        f' viewBox="0 0 {24 * COLUMN + GAP} {height}" font-family="DejaVu Sans, Arial, sans-serif">'
    )
    parts = [head, f"<title>{dashboard['title']}</title>", '<rect width="100%" height="100%" fill="#f4f5f5"/>']
    parts += [part for panel in panels for part in _panel(panel, data)]
    return "\n".join([*parts, "</svg>\n"])


def _panel(panel: Mapping[str, Any], data: Recorded) -> Iterator[str]:
    at = panel["gridPos"]
    frame = Box(at["x"] * COLUMN + GAP, at["y"] * ROW + GAP, at["w"] * COLUMN - GAP, at["h"] * ROW - GAP)
    yield f'<rect {frame} rx="3" fill="#fff" stroke="#d9dcde"/>'
    yield text(frame.x + 10, frame.y + 18, panel["title"], size=12, weight="bold")
    body = frame.inside(10, 28, 10, 8)
    found = [(target, data.answers.get(target["expr"], [])) for target in panel["targets"]]
    if not any(series for _, series in found):
        yield text(body.x + body.w / 2, body.y + body.h / 2, NO_DATA, anchor="middle", color=AXIS)
        return
    yield from _KINDS[panel["type"]](panel, found, body, data.step)


Found = Sequence[tuple[Mapping[str, Any], Sequence[Series]]]
"""The queries of a panel with their answers."""


def _stat(panel: Mapping[str, Any], found: Found, body: Box, step: float) -> Iterator[str]:  # noqa: ARG001
    value = found[0][1][0].last
    defaults = panel["fieldConfig"]["defaults"]
    shown = number(value, defaults["unit"])
    yield text(
        body.x + body.w / 2, body.y + body.h * 0.7, shown, size=34, anchor="middle", weight="bold",
        color=_color(value, defaults["thresholds"]["steps"]),
    )  # fmt: skip


def _timeseries(panel: Mapping[str, Any], found: Found, body: Box, step: float) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    lines = [(_legend(target["legendFormat"], one.labels), one.values) for target, series in found for one in series]
    stacked = defaults["custom"].get("stacking", {}).get("mode") == "normal"
    yield from curves(sorted(lines, key=lambda line: line[0]), body, step, defaults["unit"], stacked=stacked)


def _bargauge(panel: Mapping[str, Any], found: Found, body: Box, step: float) -> Iterator[str]:  # noqa: ARG001
    defaults = panel["fieldConfig"]["defaults"]
    steps, ((target, series),) = defaults["thresholds"]["steps"], found
    rows = [(_legend(target["legendFormat"], one.labels), one.last, _color(one.last, steps)) for one in series]
    yield from bars(sorted(rows), body, defaults["max"], defaults["unit"])


def _table(panel: Mapping[str, Any], found: Found, body: Box, step: float) -> Iterator[str]:  # noqa: ARG001
    series = [one for one in found[0][1] if one.values[-1] is not None]
    columns = sorted({label for one in series for label in one.labels} - HIDDEN)
    rows = [[*(one.labels.get(label, "") for label in columns), number(one.last, "short")] for one in series]
    width = body.w / (len(columns) + 1)
    for line, row in enumerate([[*columns, "value"], *sorted(rows)[:TABLE_ROWS]]):
        for place, cell in enumerate(row):
            weight = "normal" if line else "bold"
            yield text(body.x + place * width, body.y + 14 + line * 18, cell, weight=weight)


_KINDS = {"stat": _stat, "timeseries": _timeseries, "bargauge": _bargauge, "table": _table}


def _legend(form: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), form)


def _color(value: float, steps: Sequence[Mapping[str, Any]]) -> str:
    reached = [one["color"] for one in steps if one["value"] is None or value >= one["value"]]
    return COLORS[reached[-1]]
