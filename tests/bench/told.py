"""From a changed device to the list that the kubelet gets, and memory: our plugin beside the two canned ones, in turn.

What changes is the health of one device. Our plugin reads it in the pool file, which is replaced as the agent does it;
the canned ones get a signal. The time ends when the list has arrived.
"""

import asyncio
import os
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from kernel import FakeKernel
from kubelet import FakeKubelet
from plugins import Running, canned_in_go, canned_plugin, our_plugin, pools_on

from virtfn_host.core.values.offered import DevicePool, PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux import poolfile

SIZES = (16, 2048)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Seconds of the same number of changes of each plugin, in one round."""

    devices: int
    ours: tuple[float, ...]
    aio: tuple[float, ...]
    go: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """MB of ours, of the plugin in grpc.aio and of that in Go, after the changes."""

    devices: int
    rss: tuple[float, float, float]
    pss: tuple[float, float, float]


def time_changes(changes: int, rounds: int) -> tuple[list[Told], list[Memory]]:
    """Measure; `changes` is the number of changes of each plugin in a round."""
    return asyncio.run(_time_changes(changes, rounds))


async def _time_changes(changes: int, rounds: int) -> tuple[list[Told], list[Memory]]:
    found: list[Told] = []
    memory: list[Memory] = []
    in_go = canned_in_go()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for size in SIZES:
            kernel = FakeKernel(Path(folder) / f"root{size}", pfs=0)
            pools = pools_on(kernel, size, 1)
            place = Path(folder) / f"ours{size}"
            async with (
                our_plugin(place, kernel, pools) as ours,
                canned_plugin(Path(folder) / f"aio{size}", pools) as aio,
                canned_plugin(Path(folder) / f"go{size}", pools, in_go) as go,
            ):
                publish = _publishing(place / "run/pools.json", pools[0])
                for _ in range(rounds):
                    took = [
                        await _told(ours, pools[0], publish, changes),
                        await _told(aio, pools[0], _signalling(aio.pid), changes),
                        await _told(go, pools[0], _signalling(go.pid), changes),
                    ]
                    found.append(Told(devices=size, ours=took[0], aio=took[1], go=took[2]))
                rss, pss = zip(*(_megabytes(plugin.pid) for plugin in (ours, aio, go)), strict=True)
                memory.append(Memory(devices=size, rss=rss, pss=pss))
    return found, memory


async def _told(plugin: Running, pool: DevicePool, change: Callable[[bool], None], changes: int) -> tuple[float, ...]:
    """Return the seconds of each change of the first device's health: off, on, and so on."""
    loop, kubelet, first = asyncio.get_running_loop(), plugin.kubelet, str(pool.devices[0].address)
    took: list[float] = []
    for number in range(changes):
        healthy = number % 2 == 1
        asked = "Healthy" if healthy else "Unhealthy"
        began = loop.time()
        change(healthy)
        await kubelet.until(partial(_says, kubelet, pool.resource_name, first, asked), 60)
        took.append(loop.time() - began)
    return tuple(took)


def _says(kubelet: FakeKubelet, resource: str, device: str, health: str) -> bool:
    return kubelet.health(resource).get(device) == health


def _publishing(path: Path, pool: DevicePool) -> Callable[[bool], None]:
    first, *others = pool.devices
    off = replace(first, healthy=False, reason=Reason.DRIFTED)

    def publish(healthy: bool) -> None:
        devices = (first if healthy else off, *others)
        poolfile.write(path, PoolSet(boot_id="0b7e", pools=(replace(pool, devices=devices),)))

    return publish


def _signalling(pid: int) -> Callable[[bool], None]:
    return lambda _: os.kill(pid, signal.SIGUSR1)


def _megabytes(pid: int) -> tuple[float, float]:
    """Return RSS and PSS of a process (Documentation/filesystems/proc.rst: smaps_rollup)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    return kilobytes["Rss"] / 1000, kilobytes["Pss"] / 1000
