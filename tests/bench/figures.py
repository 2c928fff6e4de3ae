"""The lines of the tables that `make bench` and `make bench-fleet` print and keep in bench-results.json."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

RESULTS = Path("bench-results.json")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table."""

    name: str
    ours: float
    reference: float
    ratio: float
    unit: str
    runs: int
    spread: str


def paired(name: str, ours: Sequence[float], reference: Sequence[float], unit: str = "s") -> Figure:
    """Return medians of paired runs, and the median of their ratios."""
    ratios = [a / b for a, b in zip(ours, reference, strict=True)]
    return Figure(
        name=name,
        ours=round(statistics.median(ours), 4),
        reference=round(statistics.median(reference), 4),
        ratio=round(statistics.median(ratios), 3),
        unit=unit,
        runs=len(ratios),
        spread=f"{min(ratios):.2f}..{max(ratios):.2f}",
    )


def times_faster(name: str, ours: Sequence[float], reference: Sequence[float]) -> Figure:
    """Return the same with the reverse ratio: how many of our runs fit into one of theirs."""
    turned = paired(name, reference, ours)
    return replace(turned, ours=turned.reference, reference=turned.ours)


def keep(figures: Sequence[Figure], *, instead_of: str = "") -> None:
    """Write figures to the results, in place of those whose names begin with a text and of those of the same name."""
    known = json.loads(RESULTS.read_text()) if instead_of and RESULTS.exists() else []
    names = {figure.name for figure in figures}
    others = [one for one in known if one["name"] not in names and not one["name"].startswith(instead_of)]
    RESULTS.write_text(json.dumps([*others, *(asdict(figure) for figure in figures)], indent=1) + "\n")


def show(figures: Sequence[Figure]) -> None:
    """Print the table."""
    width = max(len(figure.name) for figure in figures)
    print(f"{'':{width}}  {'ours':>8}  {'reference':>9}  {'ratio':>6}  {'runs':>4}  spread of ratios  unit")
    for f in figures:
        line = (
            f"{f.name:{width}}  {f.ours:8.3f}  {f.reference:9.3f}  {f.ratio:6.2f}  {f.runs:4}  {f.spread:16}  {f.unit}"
        )
        print(line)
