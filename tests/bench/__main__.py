"""`make bench`: prints each figure beside its floor or a peer in the same run, and writes bench-results.json.

A ratio is ours divided by the reference; where the name says how many times faster we are, it is the reverse. The
spread is the lowest and the highest ratio of the paired runs.
"""

import itertools
import json
import tempfile
from pathlib import Path

from allocate import CALLERS, MANY, SIZES, Allocates, percentile, time_allocates
from figures import RESULTS, Figure, keep, paired, show, times_faster
from idle import DEVICES, POOLS, idle_plugins
from timeline import STAGES, time_lines
from told import SIZES as CHANGED
from told import Memory, Told, time_changes

from virtfn_lab.guest import run_in_guest
from virtfn_lab.paths import repository, run_dir
from virtfn_lab.progress import say
from virtfn_lab.qemu import Hardware

FLOORS = {"aio": "grpc.aio", "go": "Go"}
"""The plugins with a canned answer, and what they are made with."""


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


def idle(rounds: int) -> list[Figure]:
    """Return what an idle device plugin takes with many devices, for a minute in each round, beside one with none and
    beside the canned one in Go, which may take nothing: a thousandth of a processor is added to it."""
    found = idle_plugins(60.0, rounds)
    name, unit = f"idle device plugin with {DEVICES} devices in {POOLS} pools", "thousandths of a processor"
    ours = [one.full for one in found]
    return [
        paired(f"{name}, beside one with none", ours, [one.empty for one in found], unit),
        paired(f"{name}, beside a canned one in Go and a thousandth", ours, [one.go + 1 for one in found], unit),
    ]


def telling(told: list[Told], memory: list[Memory]) -> list[Figure]:
    """Return what a changed device takes to be in the kubelet's list, and what the plugin takes of memory."""
    figures: list[Figure] = []
    for size in CHANGED:
        rounds = [one for one in told if one.devices == size]
        for part, by in itertools.product((50, 99), FLOORS):
            name = f"device changed to list arrived p{part}, {size} devices, beside the canned plugin in {FLOORS[by]}"
            ours, floor = ([1000 * percentile(getattr(r, whose), part) for r in rounds] for whose in ("ours", by))
            figures.append(paired(name, ours, floor, "ms"))
    for one, kind in itertools.product(memory, ("rss", "pss")):
        ours_mb, *floors = getattr(one, kind)
        for language, floor_mb in zip(FLOORS.values(), floors, strict=True):
            name = f"{kind.upper()} of the device plugin, {one.devices} devices, beside the canned plugin in {language}"
            figures.append(paired(name, [ours_mb], [floor_mb], "MB"))
    return figures


def allocating(found: Allocates) -> list[Figure]:
    """Return what an Allocate takes beside a canned answer, and what must not make it slower."""
    figures: list[Figure] = []
    for size in SIZES:
        for callers in CALLERS:
            rounds = [one for one in found.rounds if (one.devices, one.callers) == (size, callers)]
            for part, by in itertools.product((50, 99), FLOORS):
                name = f"Allocate p{part}, {callers} at once, {size} devices, beside a canned answer in {FLOORS[by]}"
                ours, floor = ([1000 * percentile(getattr(r, whose), part) for r in rounds] for whose in ("ours", by))
                figures.append(paired(name, ours, floor, "ms"))
    least, most = (
        [1000 * percentile(one.ours, 50) for one in found.rounds if (one.devices, one.callers) == (size, 1)]
        for size in (SIZES[0], SIZES[-1])
    )
    figures.append(paired(f"Allocate p50 of {SIZES[-1]} devices, beside {SIZES[0]}", most, least, "ms"))
    later, first = ([1000 * percentile(seconds, 50)] for seconds in (found.last, found.first))
    figures.append(paired(f"Allocate p50 after {MANY} calls, beside the first", later, first, "ms"))
    ours, *floors = ([one[which] for one in found.starts] for which in range(3))
    for language, floor in zip(FLOORS.values(), floors, strict=True):
        name = f"start to registered, {SIZES[0]} devices, beside the canned plugin in {language}"
        figures.append(paired(name, ours, floor))
    return figures


def main() -> None:
    """Entry point."""
    figures = binding("8086:10c9", "igb2", "igb", (21, 0))
    for kernel in ("6.1", "6.12"):  # removing VFs has a floor that differs by kernel
        # The ratios of neighbouring pairs had a standard deviation of 0.24: a median of a hundred is good to 0.03.
        figures += binding("1b36:0010", "nvme", "nvme", (9, 100), kernel)
    figures += idle(5)
    figures += telling(*time_changes(200, 5))
    figures += allocating(time_allocates(500, 5))
    lines = time_lines(5)
    for stage in STAGES:
        whole = [line[STAGES[-1]] for line in lines]
        name = f"time line of a policy for 2 igb PFs: {stage}, beside the whole"
        figures.append(paired(name, [line[stage] for line in lines], whole, "s after kubectl apply"))
    keep(figures)
    show(figures)
    say(f"written to {RESULTS.resolve().relative_to(repository())}")


if __name__ == "__main__":
    main()
