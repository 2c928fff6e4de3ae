"""The picture of a node as shapes: a frame for each NUMA node, a card for each function, a square for each VF.

The colour of a square is its pool's. A square that is filled is in use, and a line leads from it to who has it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from virtfn_kubectl.judge.drawn import DrawnFunction, DrawnNode, DrawnPlace, DrawnRun
from virtfn_kubectl.judge.explained import some
from virtfn_kubectl.judge.verdict import Stand
from virtfn_kubectl.tell.picture import place_title
from virtfn_kubectl.tell.shapes import WIDE, Box, Drawing, Line, Shape, Words, fitting

WIDTH, EDGE = 1080, 24
CELL, GAP, IN_ROW, CELLS = 22, 4, 8, 64
"""A square, the room between two, squares in a row, and squares of a run; the rest is a number."""
LEFT, SQUARES, TEXT, HOLDERS = EDGE + 32, EDGE + 150, EDGE + 372, EDGE + 690
"""Where the columns begin: names, squares, driver and pool, holders."""
RIGHT = WIDTH - EDGE - 28
ROW = CELL + 14

POOLS = ("#2f6fb3", "#b35c2f", "#3c8c5a", "#8a4fa3", "#a3862a", "#b3405f", "#3f8f99", "#6b6f7a")
"""Colours of pools in their order; after the last comes the first again, and the name is written beside."""
INK, PALE, RULE, PAPER, CARD, NONE = "#1f2430", "#5b6270", "#c9ced8", "#ffffff", "#f4f6f9", "#9aa1ad"
STANDS = {Stand.READY: "#2e7d4f", Stand.CHANGING: "#9a6b00", Stand.BLOCKED: "#9a6b00", Stand.WITHOUT_DEVICE: "#5b6270"}
BAD = "#b3261e"


@dataclass(frozen=True, slots=True)
class Stacked:
    """Shapes below each other, and their height."""

    height: float
    shapes: tuple[Shape, ...]


def node_drawing(node: DrawnNode) -> Drawing:
    """Return the picture of a node."""
    colors = {pool: POOLS[number % len(POOLS)] for number, pool in enumerate(node.pools)}
    shapes: list[Shape] = list(_title(node))
    y = 92.0
    for place in node.places:
        part = _place(place, y, colors)
        shapes += part.shapes
        y += part.height + 16
    foot = list(_foot(node, y, colors))
    height = y + 26 * len({shape.y for shape in foot if isinstance(shape, Words)}) + 16
    paper = Box(x=0, y=0, width=WIDTH, height=height, fill=PAPER)
    return Drawing(width=WIDTH, height=height, title=f"functions of node {node.name}", shapes=(paper, *shapes, *foot))


def _title(node: DrawnNode) -> Iterator[Shape]:
    yield Words(x=EDGE, y=38, text=fitting(node.name, 700, 20), size=20, bold=True)
    stand, reason = node.verdict.stand, node.verdict.reason
    word = stand if reason in ("", "Converged", stand) else f"{stand}: {reason}"
    color = STANDS.get(stand, BAD)
    yield Words(x=WIDTH - EDGE, y=38, text=fitting(word, 320, 16), size=16, fill=color, bold=True, anchor="end")
    facts = f"virtfn {node.agent_version or '?'} · kernel {node.kernel or '?'} · {node.vfs} VFs, {node.in_use} in use"
    yield Words(x=EDGE, y=64, text=fitting(facts, WIDTH - 2 * EDGE, 13), size=13, fill=PALE)


def _place(place: DrawnPlace, top: float, colors: dict[str, str]) -> Stacked:
    y, inner = top + 34, list[Shape]()
    for function in place.functions:
        part = _function(function, y, colors)
        inner += part.shapes
        y += part.height + 10
    height = y - top + 4
    frame = Box(x=EDGE, y=top, width=WIDTH - 2 * EDGE, height=height, fill=PAPER, stroke=RULE, radius=8)
    head = Words(x=EDGE + 16, y=top + 23, text=place_title(place), size=13, bold=True)
    return Stacked(height, (frame, head, *inner))


def _function(function: DrawnFunction, top: float, colors: dict[str, str]) -> Stacked:
    y, rows = top + 58, list[Shape]()
    for run in function.runs:
        part = _run(run, y, colors)
        rows += part.shapes
        y += part.height
    if function.more_runs:
        rows.append(Words(x=LEFT, y=y + 14, text=f"and {function.more_runs} more runs of VFs", fill=PALE))
        y += 24
    if function.pool:
        part = _whole(function, y, colors)
        rows += part.shapes
        y += part.height
    height = y - top + 2
    card = Box(x=EDGE + 16, y=top, width=WIDTH - 2 * EDGE - 32, height=height, fill=CARD, stroke=RULE, radius=6)
    return Stacked(height, (card, *_name(function, top), *rows))


def _name(function: DrawnFunction, top: float) -> Iterator[Shape]:
    kind = "PF" if function.total is not None else "function"
    yield Words(x=LEFT, y=top + 22, text=f"{kind} {function.address}", size=14, bold=True)
    vfs = [f"{function.made} of {function.total} VFs"] if function.total is not None else []
    group = "no IOMMU group" if function.group is None else f"IOMMU group {function.group}"
    policies = [f"policy {some(list(function.policies), 3)}"] if function.policies else []
    text = " · ".join(filter(None, [function.ids, function.netdev, function.driver, group, *vfs, *policies]))
    yield Words(x=LEFT, y=top + 42, text=fitting(text, RIGHT - LEFT), fill=PALE)


def _run(run: DrawnRun, top: float, colors: dict[str, str]) -> Stacked:
    shown = run.vfs[:CELLS]
    rows = max(1, -(-len(shown) // IN_ROW))
    color = colors.get(run.pool, NONE)
    middle = top + 6 + CELL / 2 + 4
    label = fitting(f"VF {run.indexes}", SQUARES - LEFT - 8)
    texts: list[Shape] = [Words(x=LEFT, y=middle, text=label, bold=True)]
    texts += _beside(run.pool, run.driver, middle, color)
    height, more = rows * (CELL + GAP) + 10, list[Shape]()
    if len(run.vfs) > CELLS:
        more = [Words(x=SQUARES, y=top + height + 8, text=f"and {len(run.vfs) - CELLS} more", fill=PALE)]
        height += 20
    cells = tuple(_cells(shown, top + 6, color, held=bool(run.holders)))
    return Stacked(
        height, (*texts, *_held(run.holders, len(shown), middle, _width(run.pool, run.driver)), *cells, *more)
    )


def _whole(function: DrawnFunction, top: float, colors: dict[str, str]) -> Stacked:
    color, middle = colors.get(function.pool, NONE), top + 6 + CELL / 2 + 4
    texts = [Words(x=LEFT, y=middle, text="whole", bold=True), *_beside(function.pool, function.driver, middle, color)]
    cells = tuple(_cells((0,), top + 6, color, held=bool(function.holders), numbers=False))
    return Stacked(ROW, (*texts, *_held(function.holders, 1, middle, _width(function.pool, function.driver)), *cells))


def _cells(vfs: Sequence[int], top: float, color: str, *, held: bool, numbers: bool = True) -> Iterator[Shape]:
    for place, index in enumerate(vfs):
        x = SQUARES + place % IN_ROW * (CELL + GAP)
        y = top + place // IN_ROW * (CELL + GAP)
        yield Box(x=x, y=y, width=CELL, height=CELL, fill=color if held else PAPER, stroke=color, radius=3)
        if numbers:
            fill = PAPER if held else color
            yield Words(x=x + CELL / 2, y=y + 15, text=str(index), size=10, fill=fill, anchor="middle")


def _beside(pool: str, driver: str, y: float, color: str) -> list[Shape]:
    return [Words(x=TEXT, y=y, text=_pool_text(pool, driver), fill=color if pool else PALE)]


def _pool_text(pool: str, driver: str) -> str:
    return fitting(f"{driver} · {pool or 'no pool'}", HOLDERS - TEXT - 24)


def _width(pool: str, driver: str) -> float:
    return len(_pool_text(pool, driver)) * 12 * WIDE


def _held(holders: tuple[str, ...], cells: int, y: float, text_width: float) -> list[Shape]:
    """Return who has it, with a line to the squares before and behind the text between them."""
    if not holders:
        return [Words(x=HOLDERS + 10, y=y, text="free", fill=PALE)]
    begin = SQUARES + min(cells, IN_ROW) * (CELL + GAP)
    text = fitting(some(list(holders), 2), RIGHT - HOLDERS - 20)
    return [
        Line(x1=begin, y1=y - 4, x2=TEXT - 8, y2=y - 4, stroke=NONE),
        Line(x1=TEXT + text_width + 8, y1=y - 4, x2=HOLDERS, y2=y - 4, stroke=NONE),
        Box(x=HOLDERS, y=y - 16, width=RIGHT - HOLDERS, height=24, fill=PAPER, stroke=INK, radius=12),
        Words(x=HOLDERS + 10, y=y, text=text),
    ]


def _foot(node: DrawnNode, top: float, colors: dict[str, str]) -> Iterator[Shape]:
    if node.more:
        yield Words(x=EDGE, y=top + 14, text=f"and {node.more} more functions", fill=PALE)
        top += 26
    if not node.places:
        yield Words(x=EDGE, y=top + 14, text="no function is in its status", fill=PALE)
        return
    x = float(EDGE)
    for text, color, held in (("in use", NONE, True), ("free", NONE, False)):
        yield Box(x=x, y=top, width=16, height=16, fill=color if held else PAPER, stroke=color, radius=3)
        yield Words(x=x + 24, y=top + 13, text=text, fill=PALE)
        x += 100
    for pool, color in colors.items():
        width = 44 + len(pool) * 12 * WIDE
        if x + width > WIDTH - EDGE:
            x, top = float(EDGE), top + 26
        yield Box(x=x, y=top, width=16, height=16, fill=color, stroke=color, radius=3)
        yield Words(x=x + 24, y=top + 13, text=fitting(pool, WIDTH - 2 * EDGE - 40), fill=PALE)
        x += width
