"""The picture of a node in a terminal."""

from collections.abc import Sequence

from virtfn_host.cli.paint import PLAIN, Paint
from virtfn_kubectl.judge.drawn import DrawnFunction, DrawnNode, DrawnPlace, DrawnRun
from virtfn_kubectl.judge.explained import some
from virtfn_kubectl.tell.words import painted

CELLS = 16
"""Squares of a run; more VFs are a number."""


def picture_text(node: DrawnNode, paint: Paint = PLAIN) -> str:
    """Return the node's functions as a tree: NUMA nodes, PFs, runs of VFs with a square for each VF."""
    facts = f"virtfn {node.agent_version or '?'}, kernel {node.kernel or '?'}; {node.vfs} VFs, {node.in_use} in use"
    lines = [f"{paint.head(f'node {node.name}')}: {painted(node.verdict.stand, paint)}; {facts}"]
    for place in node.places:
        lines += ["", paint.head(place_title(place)), *_functions(place.functions, paint)]
    lines += ["", f"and {node.more} more functions"] if node.more else []
    return "\n".join([*lines, "", "■ in use  □ free"] if node.places else [*lines, "", "no function is in its status"])


def place_title(place: DrawnPlace) -> str:
    """Return the heading of a NUMA node."""
    return "no NUMA node" if place.numa_node is None else f"NUMA node {place.numa_node}"


def _functions(functions: Sequence[DrawnFunction], paint: Paint) -> list[str]:
    lines = []
    for function in functions:
        last = function is functions[-1]
        lines.append(f"{'└─' if last else '├─'} {function_text(function)}{_whole(function, paint)}")
        lines += [f"{'   ' if last else '│  '}{line}" for line in _runs(function, paint)]
    return lines


def function_text(function: DrawnFunction) -> str:
    """Return one function in words: address, ids, netdev, driver, IOMMU group, VFs."""
    vfs = "" if function.total is None else f"{function.made} of {function.total} VFs"
    group = "no IOMMU group" if function.group is None else f"group {function.group}"
    kind = "PF" if function.total is not None else "whole"
    policies = f"policy {some(list(function.policies), 3)}" if function.policies else ""
    parts = (f"{kind} {function.address}", function.ids, function.netdev, function.driver, group, vfs, policies)
    return "  ".join(filter(None, parts))


def _whole(function: DrawnFunction, paint: Paint) -> str:
    if not function.pool:
        return ""
    return f"  {_squares(1, bool(function.holders))}  {function.pool}  {_holders(function.holders, paint)}"


def _runs(function: DrawnFunction, paint: Paint) -> list[str]:
    cells = [
        (f"VF {run.indexes}", _squares(len(run.vfs), bool(run.holders)), run.driver, run.pool or "no pool")
        for run in function.runs
    ]
    widths = [max((len(row[column]) for row in cells), default=0) for column in range(4)]
    more = [f"and {function.more_runs} more runs of VFs"] if function.more_runs else []
    lines = [_line(row, widths, run, paint) for row, run in zip(cells, function.runs, strict=True)] + more
    return [f"{'└─' if number == len(lines) - 1 else '├─'} {line}" for number, line in enumerate(lines)]


def _line(row: tuple[str, ...], widths: list[int], run: DrawnRun, paint: Paint) -> str:
    padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
    return "  ".join([*padded, _holders(run.holders, paint)]).rstrip()


def _squares(number: int, held: bool) -> str:
    square = "■" if held else "□"
    return square * number if number <= CELLS else f"{square} x {number}"


def _holders(holders: tuple[str, ...], paint: Paint) -> str:
    return paint.held(some(list(holders), 3)) if holders else paint.good("free")
