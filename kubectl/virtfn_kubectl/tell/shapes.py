"""Shapes of a drawing, and the SVG of them. Texts are escaped; there is no script, no link and no picture in it."""

from dataclasses import dataclass
from html import escape

FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
WIDE = 0.602
"""Width of a character in heights; monospaced, so that texts can be cut to a width without measuring them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    stroke: str = "none"
    radius: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line between two points."""

    x1: float
    y1: float
    x2: float
    y2: float
    stroke: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A text on its base line."""

    x: float
    y: float
    text: str
    size: float = 12
    fill: str = "#1f2430"
    bold: bool = False
    anchor: str = "start"


Shape = Box | Line | Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Shapes in the order in which they are drawn."""

    width: float
    height: float
    title: str
    shapes: tuple[Shape, ...]


def fitting(text: str, width: float, size: float = 12) -> str:
    """Return a text that fits into a width, cut with a mark."""
    most = max(1, int(width / (size * WIDE)))
    return text if len(text) <= most else text[: most - 1] + "…"


def svg(drawing: Drawing) -> str:
    """Return a drawing as SVG."""
    size = f'width="{drawing.width:g}" height="{drawing.height:g}" viewBox="0 0 {drawing.width:g} {drawing.height:g}"'
    title = escape(drawing.title)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{title}" font-family="{FONT}">',
        f"<title>{title}</title>",
        *map(_element, drawing.shapes),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _element(shape: Shape) -> str:
    match shape:
        case Box():
            place = f'x="{shape.x:g}" y="{shape.y:g}" width="{shape.width:g}" height="{shape.height:g}"'
            return f'<rect {place} rx="{shape.radius:g}" fill="{shape.fill}" stroke="{shape.stroke}"/>'
        case Line():
            ends = f'x1="{shape.x1:g}" y1="{shape.y1:g}" x2="{shape.x2:g}" y2="{shape.y2:g}"'
            return f'<line {ends} stroke="{shape.stroke}" stroke-width="1.5"/>'
        case Words():
            bold = ' font-weight="bold"' if shape.bold else ""
            place = f'x="{shape.x:g}" y="{shape.y:g}" font-size="{shape.size:g}" text-anchor="{shape.anchor}"'
            return f'<text {place} fill="{shape.fill}"{bold}>{escape(shape.text)}</text>'
