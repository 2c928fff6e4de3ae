"""docs/dashboard.svg: the chart's dashboard as it is now, drawn from recorded answers to its very queries."""

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from virtfn_lab.paths import repository
from virtfn_release.dashboard_picture import DASHBOARD, DATA, NO_DATA, PICTURE, picture, read, recorded
from virtfn_release.drawing import PALETTE, number

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def dashboard() -> Any:
    return read(DASHBOARD)


def words(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def of(kind: str, query: str, form: str = "{{pool}}", **defaults: Any) -> dict[str, Any]:
    steps = [{"color": "green", "value": None}, {"color": "red", "value": 1}]
    defaults = {"unit": "short", "thresholds": {"steps": steps}, "custom": {}, "min": 0, "max": 1, **defaults}
    target = {"expr": query, "legendFormat": form}
    place = {"x": 0, "y": 0, "w": 8, "h": 8}
    panel = {"type": kind, "title": "A", "gridPos": place, "targets": [target], "fieldConfig": {"defaults": defaults}}
    return {"title": "t", "panels": [panel]}


def drawn(board: dict[str, Any], *series: tuple[dict[str, str], list[float | None]]) -> str:
    (panel,) = board["panels"]
    told = [{"labels": labels, "values": values} for labels, values in series]
    return picture(board, recorded({"step": 60, "queries": {panel["targets"][0]["expr"]: told}}))


def test_the_picture_in_docs_is_what_is_drawn_now(dashboard: Any) -> None:
    assert (repository() / PICTURE).read_text() == picture(dashboard, recorded(read(DATA)))


def test_every_query_of_the_dashboard_was_recorded_and_no_other(dashboard: Any) -> None:
    asked = {target["expr"] for panel in dashboard["panels"] for target in panel["targets"]}
    assert read(DATA)["queries"].keys() == asked


def test_every_panel_is_in_the_picture_and_has_data(dashboard: Any) -> None:
    found = words(picture(dashboard, recorded(read(DATA))))
    assert {panel["title"] for panel in dashboard["panels"]} <= set(found)
    assert NO_DATA not in found


@pytest.mark.parametrize("kind", ["stat", "timeseries", "bargauge", "table"])
def test_a_panel_without_data_says_so(kind: str) -> None:
    assert words(drawn(of(kind, "up"))) == ["A", NO_DATA]


@pytest.mark.parametrize("kind", ["timeseries", "bargauge", "table"])
@pytest.mark.parametrize("name", ["<script>", 'a"b', "a&b"])
def test_a_name_of_any_kind_is_text(kind: str, name: str) -> None:
    assert name in words(drawn(of(kind, "up"), ({"pool": name}, [1.0, 2.0])))


@pytest.mark.parametrize(("value", "color"), [(0.0, "#37872d"), (1.0, "#c4162a"), (7.0, "#c4162a")])
def test_a_number_has_the_color_of_its_threshold(value: float, color: str) -> None:
    svg = drawn(of("stat", "up"), ({}, [5.0, value, None]))
    assert f'fill="{color}"' in svg
    assert number(value, "short") in words(svg)


def test_a_gap_in_a_curve_stays_a_gap() -> None:
    svg = drawn(of("timeseries", "up"), ({"pool": "a"}, [1.0, 1.0, None, 1.0, 1.0]))
    (path,) = re.findall(r'<path d="(M[^"]*)" fill="none"', svg)
    assert path.count("M") == 2


def test_stacked_curves_lie_on_each_other() -> None:
    board = of("timeseries", "up", custom={"stacking": {"mode": "normal"}})
    svg = drawn(board, ({"pool": "a"}, [1.0, 1.0]), ({"pool": "b"}, [3.0, 3.0]))
    assert "4" in words(svg), "the axis ends at the sum"
    assert all(f'fill="{color}" fill-opacity' in svg for color in PALETTE[:2])


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(0.25, "s", "250 ms"), (4.0, "s", "4 s"), (0.83, "percentunit", "83 %"), (12.0, "short", "12"), (0.0, "s", "0 s")],
)
def test_numbers_are_short(value: float, unit: str, shown: str) -> None:
    assert number(value, unit) == shown
