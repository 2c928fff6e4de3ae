"""`make bench`: prints each figure beside its floor or a peer in the same run, and writes bench-results.json.

A ratio is ours divided by the reference; where the name says how many times faster we are, it is the reverse. The
spread is the lowest and the highest ratio of the paired runs.
"""

import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from timeline import STAGES, time_lines

from virtfn_lab.guest import run_in_guest
from virtfn_lab.paths import repository, run_dir
from virtfn_lab.progress import say
from virtfn_lab.qemu import Hardware

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


def binding(device: str, topology: str, what: str, rounds: tuple[int, int], kernel: str = "6.1") -> list[Figure]:
    """Time making, binding and removing VFs through `apply` and by bare writes, in turn in one boot.

    Args:
        rounds: number of rounds with making and removing, and of further rounds that time only making.
    """
    out = Path(tempfile.mkdtemp(prefix="bench-", dir=run_dir()))
    words = f"--device {device} --rounds {rounds[0]} --quick-rounds {rounds[1]} /out/seconds.json"
    command = f"modprobe -a igb nvme; python3 tests/bench/binding.py {words}"
    hardware = Hardware(topology=topology, threads="multi")
    if run_in_guest(command, hardware=hardware, kernel=kernel, out=out, timeout=1800):
        raise SystemExit("the bench failed in the guest; see above")
    found = json.loads((out / "seconds.json").read_text())
    seen, what = found["seconds"], f"{what}, Linux {kernel}"
    made, away = f"{what}: {found['count']} VFs made and bound", f"{what}: taken away"
    return [
        paired(f"{made} by `apply`, to bare writes", seen["ours apply"], seen["bare"]),
        paired(f"{made}, with looking, deciding and verifying", seen["ours"], seen["bare"]),
        times_faster(f"{away} by `apply`, times faster than a plain 0", seen["ours back apply"], seen["bare back"]),
        times_faster(f"{away}, with looking, deciding and verifying", seen["ours back"], seen["bare back"]),
        times_faster(f"{away} with nothing bound, as fast as a 0 can be", seen["made back"], seen["bare back"]),
    ]


def main() -> None:
    """Entry point."""
    figures = binding("8086:10c9", "igb2", "igb", (21, 0))
    for kernel in ("6.1", "6.12"):  # removing VFs has a floor that differs by kernel
        # The ratios of neighbouring pairs had a standard deviation of 0.24: a median of a hundred is good to 0.03.
        figures += binding("1b36:0010", "nvme", "nvme", (9, 100), kernel)
    lines = time_lines(5)
    for stage in STAGES:
        whole = [line[STAGES[-1]] for line in lines]
        name = f"time line of a policy for 2 igb PFs: {stage}, beside the whole"
        figures.append(paired(name, [line[stage] for line in lines], whole, "s after kubectl apply"))
    RESULTS.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    width = max(len(figure.name) for figure in figures)
    print(f"{'':{width}}  {'ours':>8}  {'reference':>9}  {'ratio':>6}  {'runs':>4}  spread of ratios  unit")
    for f in figures:
        line = (
            f"{f.name:{width}}  {f.ours:8.3f}  {f.reference:9.3f}  {f.ratio:6.2f}  {f.runs:4}  {f.spread:16}  {f.unit}"
        )
        print(line)
    say(f"written to {RESULTS.resolve().relative_to(repository())}")


if __name__ == "__main__":
    main()
