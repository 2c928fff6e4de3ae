"""CPU that an idle device plugin takes: the real program on the fake kernel's tree, beside itself with no devices and
beside the canned plugin in Go.

All run at the same time, each with a kubelet of its own, so that what else the machine does is in all of them.
"""

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kernel import FakeKernel
from plugins import canned_in_go, canned_plugin, our_plugin, pools_on

from virtfn_host.core.values.offered import DevicePool

DEVICES, POOLS = 2048, 64
WARM = 10.0
"""Seconds after the first list, until start-up is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """CPU of idle plugins over the same seconds, in thousandths of a processor."""

    full: float
    empty: float
    go: float
    """The canned plugin in Go, with all devices in its one pool."""


def idle_plugins(seconds: float, rounds: int) -> list[Idle]:
    """Return, for each round, what the plugins took."""
    return asyncio.run(_idle(seconds, rounds))


async def _idle(seconds: float, rounds: int) -> list[Idle]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        kernel = FakeKernel(Path(folder) / "root", pfs=0)
        pools = pools_on(kernel, DEVICES, POOLS)
        one_pool = DevicePool(resource_name="virtfn.dev/all", devices=tuple(d for pool in pools for d in pool.devices))
        async with (
            our_plugin(Path(folder) / "full", kernel, pools) as full,
            our_plugin(Path(folder) / "none", kernel, ()) as none,
            canned_plugin(Path(folder) / "go", (one_pool,), canned_in_go()) as go,
        ):
            await asyncio.sleep(WARM)
            return [await _round((full.pid, none.pid, go.pid), seconds) for _ in range(rounds)]


async def _round(pids: tuple[int, int, int], seconds: float) -> Idle:
    before = [_nanoseconds(pid) for pid in pids]
    await asyncio.sleep(seconds)
    full, empty, go = ((_nanoseconds(pid) - was) / seconds / 1e6 for pid, was in zip(pids, before, strict=True))
    return Idle(full=full, empty=empty, go=go)


def _nanoseconds(pid: int) -> int:
    """Return the CPU time of all threads of a process (Documentation/scheduler/sched-stats.rst)."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())
