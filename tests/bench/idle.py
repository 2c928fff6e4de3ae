"""CPU that an idle device plugin takes: the real program on the fake kernel's tree, beside itself with no devices.

Both run at the same time, each with a kubelet of its own, so that what else the machine does is in both.
"""

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kernel import FakeKernel
from plugins import our_plugin, pools_on

DEVICES, POOLS = 2048, 64
WARM = 10.0
"""Seconds after the first list, until start-up is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """CPU of two idle plugins over the same seconds, in thousandths of a processor."""

    full: float
    empty: float


def idle_plugins(seconds: float, rounds: int) -> list[Idle]:
    """Return, for each round, what the two plugins took."""
    return asyncio.run(_idle(seconds, rounds))


async def _idle(seconds: float, rounds: int) -> list[Idle]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        kernel = FakeKernel(Path(folder) / "root", pfs=0)
        pools = pools_on(kernel, DEVICES, POOLS)
        async with (
            our_plugin(Path(folder) / "full", kernel, pools) as full,
            our_plugin(Path(folder) / "none", kernel, ()) as none,
        ):
            await asyncio.sleep(WARM)
            return [await _round(full.pid, none.pid, seconds) for _ in range(rounds)]


async def _round(full: int, empty: int, seconds: float) -> Idle:
    before = _nanoseconds(full), _nanoseconds(empty)
    await asyncio.sleep(seconds)
    took = _nanoseconds(full) - before[0], _nanoseconds(empty) - before[1]
    return Idle(full=took[0] / seconds / 1e6, empty=took[1] / seconds / 1e6)


def _nanoseconds(pid: int) -> int:
    """Return the CPU time of all threads of a process (Documentation/scheduler/sched-stats.rst)."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())
