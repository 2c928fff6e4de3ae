"""Curves, bars and text as SVG elements; nothing here knows Grafana."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

PALETTE = ("#1f60c4", "#e0752d", "#37872d", "#8f3bb8", "#c4162a", "#0a8a8a", "#b8860b", "#5a6570")
INK, AXIS, GRID = "#24292e", "#6e7780", "#e8eaec"

LEGEND_ROW, LETTER = 16, 6.3
"""Pixels of a row of a legend, and of a letter of 10 pixels."""

Value = float | None
"""None: no value at that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series of an answer to a query."""

    labels: Mapping[str, str]
    values: tuple[Value, ...]

    @property
    def last(self) -> float:
        """The last value that there is."""
        return next((value for value in reversed(self.values) if value is not None), math.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Answers to queries, with one value for each `step` seconds."""

    step: float
    answers: Mapping[str, Sequence[Series]]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    x: float
    y: float
    w: float
    h: float

    def inside(self, left: float, top: float, right: float, bottom: float) -> "Box":
        """Return the rectangle without margins."""
        return Box(self.x + left, self.y + top, self.w - left - right, self.h - top - bottom)

    def __str__(self) -> str:
        return f'x="{self.x:g}" y="{self.y:g}" width="{self.w:g}" height="{self.h:g}"'


def text(
    x: float,
    y: float,
    said: str,
    *,
    size: int = 11,
    anchor: str = "start",
    weight: str = "normal",
    color: str = INK,
) -> str:
    """Return a line of text."""
    style = f'font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" fill="{color}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(said)}</text>'


def number(value: float, unit: str) -> str:
    """Return a value for people."""
    if math.isnan(value):
        return "-"
    if unit == "percentunit":
        return f"{100 * value:.0f} %"
    if unit == "s" and 0 < abs(value) < 1:
        return f"{1000 * value:.0f} ms"
    return f"{value:.3g}" + (" s" if unit == "s" else "")


def bars(rows: Sequence[tuple[str, float, str]], box: Box, most: float, unit: str) -> Iterator[str]:
    """Yield a horizontal bar for each row of name, value and color."""
    height = min(44.0, box.h / max(1, len(rows)))
    for place, (name, value, color) in enumerate(rows):
        top = box.y + place * height
        bar = Box(box.x, top + 16, box.w - 56, height - 26)
        filled = Box(bar.x, bar.y, round(bar.w * min(1.0, value / most), 1), bar.h)
        yield text(box.x, top + 11, name)
        yield f'<rect {bar} fill="{GRID}"/><rect {filled} fill="{color}"/>'
        yield text(box.x + box.w, bar.y + bar.h / 2 + 5, number(value, unit), size=13, anchor="end", color=color)


def curves(
    lines: Sequence[tuple[str, Sequence[Value]]], box: Box, step: float, unit: str, *, stacked: bool
) -> Iterator[str]:
    """Yield curves over time with axes and a legend below; stacked ones as areas, each on the one before."""
    legend, rows = _legend([name for name, _ in lines], box)
    plot = box.inside(44, 4, 6, 20 + rows * LEGEND_ROW)
    tops = _stacked([values for _, values in lines]) if stacked else [tuple(values) for _, values in lines]
    highest = _round_up(max((value for top in tops for value in top if value is not None), default=1.0))
    yield from _axes(plot, highest, (len(tops[0]) - 1) * step, unit)
    for place in reversed(range(len(tops))):
        color = PALETTE[place % len(PALETTE)]
        if stacked:
            below = tops[place - 1] if place else (0.0,) * len(tops[0])
            yield f'<path d="{_area(tops[place], below, plot, highest)}" fill="{color}" fill-opacity="0.45"/>'
        path = _path(tops[place], plot, highest)
        yield f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>'
    yield from legend


def _legend(names: Sequence[str], box: Box) -> tuple[list[str], int]:
    """The entries of a legend, and how many rows they take."""
    spots, row, x = [], 0, 0.0
    for name in names:
        wide = 16 + LETTER * len(name) + 12
        if x and x + wide > box.w:
            row, x = row + 1, 0.0
        spots.append((row, x))
        x += wide
    parts, rows = [], row + 1
    for place, (name, (row, x)) in enumerate(zip(names, spots, strict=True)):
        y = box.y + box.h - (rows - row - 1) * LEGEND_ROW - 3
        mark = Box(box.x + x, y - 7, 12, 4)
        parts += [f'<rect {mark} fill="{PALETTE[place % len(PALETTE)]}"/>', text(mark.x + 16, y, name, size=10)]
    return parts, rows


def _stacked(lines: Sequence[Sequence[Value]]) -> list[tuple[float, ...]]:
    tops: list[tuple[float, ...]] = []
    for values in lines:
        below = tops[-1] if tops else (0.0,) * len(values)
        tops.append(tuple(under + (value or 0.0) for under, value in zip(below, values, strict=True)))
    return tops


def _axes(plot: Box, highest: float, seconds: float, unit: str) -> Iterator[str]:
    for part in range(5):
        y = plot.y + plot.h * part / 4
        yield f'<path d="M{plot.x:.1f} {y:.1f}h{plot.w:.1f}" stroke="{GRID}"/>'
        yield text(plot.x - 6, y + 4, number(highest * (4 - part) / 4, unit), size=10, anchor="end", color=AXIS)
    for part in range(4):
        x, ago = plot.x + plot.w * part / 3, seconds / 3600 * (3 - part) / 3
        word = f"-{ago:g} h" if ago else "now"
        anchor = "start" if part == 0 else "end" if part == 3 else "middle"
        yield text(x, plot.y + plot.h + 14, word, size=10, anchor=anchor, color=AXIS)


def _points(values: Sequence[Value], plot: Box, highest: float) -> list[tuple[float, float] | None]:
    wide = plot.w / max(1, len(values) - 1)
    return [
        None if value is None else (plot.x + place * wide, plot.y + plot.h * (1 - max(0.0, value) / highest))
        for place, value in enumerate(values)
    ]


def _path(values: Sequence[Value], plot: Box, highest: float) -> str:
    parts, pen = [], "M"
    for point in _points(values, plot, highest):
        if point is not None:
            parts.append(f"{pen}{point[0]:.1f} {point[1]:.1f}")
        pen = "M" if point is None else "L"
    return "".join(parts)


def _area(values: Sequence[Value], below: Sequence[Value], plot: Box, highest: float) -> str:
    edge = [*_points(values, plot, highest), *reversed(_points(below, plot, highest))]
    return "M" + "L".join(f"{point[0]:.1f} {point[1]:.1f}" for point in edge if point is not None) + "Z"


def _round_up(value: float) -> float:
    """The next number with one digit of 1, 2, 4, 6 or 8, so that quarters of it are short."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(digit * unit for digit in (1, 2, 4, 6, 8, 10) if digit * unit >= value * (1 - 1e-9))
