"""What an Allocate takes: our plugin and a canned answer, in grpc.aio and in Go, by the same client, in turn.

`python allocate.py [CALLS]` prints the figures alone. The plugin's ledger is in memory, as on a node (`/run`); its
grants are on the disk of the machine's temporary files, as on a node (`/var/lib`).
"""

import asyncio
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kernel import FakeKernel
from plugins import Running, canned_in_go, canned_plugin, our_plugin, pools_on

from virtfn_deviceplugin.v1beta1 import api_pb2 as wire

SIZES = (16, 512, 2048)
CALLERS = (1, 14)
MANY = 10_000
EDGE = 200
"""Calls at the beginning and at the end of many that are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Seconds of calls that the same number of callers made of each plugin, in one round."""

    devices: int
    callers: int
    ours: tuple[float, ...]
    aio: tuple[float, ...]
    go: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocates:
    """All that was measured."""

    rounds: tuple[Calls, ...]
    first: tuple[float, ...]
    """Seconds of the first calls of one caller, after each device was allocated once."""
    last: tuple[float, ...]
    """The same after ten thousand."""
    starts: tuple[tuple[float, float, float], ...]
    """Seconds from start to registered with the fewest devices: ours, in grpc.aio, in Go."""


def percentile(seconds: tuple[float, ...], hundredths: int) -> float:
    """Return the time that so many hundredths of the calls did not exceed."""
    return statistics.quantiles(seconds, n=100, method="inclusive")[hundredths - 1]


def time_allocates(calls: int, rounds: int) -> Allocates:
    """Measure. `calls` is the number of calls of each plugin in a round."""
    return asyncio.run(_time_allocates(calls, rounds))


async def _time_allocates(calls: int, rounds: int) -> Allocates:
    found: list[Calls] = []
    starts: list[tuple[float, float, float]] = []
    in_go = canned_in_go()
    first: tuple[float, ...] = ()
    last: tuple[float, ...] = ()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory, tempfile.TemporaryDirectory() as disk:
        for size in SIZES:
            kernel = FakeKernel(Path(memory) / f"root{size}", pfs=0)
            pools = pools_on(kernel, size, 1)
            name, ids = pools[0].resource_name, [str(device.address) for device in pools[0].devices]
            grants = Path(disk) / f"grants{size}.json"
            async with (
                our_plugin(Path(memory) / f"ours{size}", kernel, pools, grants) as ours,
                canned_plugin(Path(memory) / f"aio{size}", pools) as aio,
                canned_plugin(Path(memory) / f"go{size}", pools, in_go) as go,
            ):
                await _called(ours, name, ids, len(ids), 1)
                if size == SIZES[0]:
                    first = await _called(ours, name, ids, EDGE, 1)
                for _ in range(rounds):
                    for callers in CALLERS:
                        took = [await _called(plugin, name, ids, calls, callers) for plugin in (ours, aio, go)]
                        found.append(Calls(devices=size, callers=callers, ours=took[0], aio=took[1], go=took[2]))
                if size == SIZES[0]:
                    await _called(ours, name, ids, MANY, CALLERS[-1])
                    last = await _called(ours, name, ids, EDGE, 1)
        kernel, pools = FakeKernel(Path(memory) / "root", pfs=0), ()
        pools = pools_on(kernel, SIZES[0], 1)
        for number in range(rounds):
            async with our_plugin(Path(memory) / f"start{number}", kernel, pools) as ours:
                pass
            async with canned_plugin(Path(memory) / f"aio-start{number}", pools) as aio:
                pass
            async with canned_plugin(Path(memory) / f"go-start{number}", pools, in_go) as go:
                starts.append((ours.registered_after, aio.registered_after, go.registered_after))
    return Allocates(rounds=tuple(found), first=first, last=last, starts=tuple(starts))


async def _called(plugin: Running, resource: str, ids: list[str], calls: int, callers: int) -> tuple[float, ...]:
    """Make calls for one device each, in turn, by so many callers that each wait for their answer; return seconds."""
    stub, loop = plugin.kubelet.plugins[resource].stub, asyncio.get_running_loop()
    left, took = iter(range(calls)), []

    async def caller() -> None:
        for number in left:
            one = wire.ContainerAllocateRequest(devices_ids=[ids[number % len(ids)]])
            began = loop.time()
            await stub.Allocate(wire.AllocateRequest(container_requests=[one]))
            took.append(loop.time() - began)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return tuple(took)


def main() -> None:
    """Entry point; see the module's docstring."""
    found = time_allocates(int(sys.argv[1]) if len(sys.argv) > 1 else 500, 4)
    for size in SIZES:
        for callers in CALLERS:
            rounds = [one for one in found.rounds if (one.devices, one.callers) == (size, callers)]
            for part in (50, 99):
                ours, aio, go = (
                    statistics.median(percentile(getattr(one, by), part) for one in rounds) * 1000
                    for by in ("ours", "aio", "go")
                )
                line = f"{size:5} devices, {callers:2} callers, p{part}: {ours:8.2f} ms"
                print(f"{line}, {ours / aio:5.2f} times grpc.aio {aio:8.2f}, {ours / go:5.2f} times Go {go:8.2f}")
    edge = statistics.median(found.first) * 1000, statistics.median(found.last) * 1000
    print(f"first calls {edge[0]:.2f} ms, after {MANY} {edge[1]:.2f} ms, {edge[1] / edge[0]:.2f} times")
    ours, aio, go = (statistics.median(one[which] for one in found.starts) for which in range(3))
    line = f"start to registered {ours:.2f} s"
    print(f"{line}, {ours / aio:5.2f} times grpc.aio {aio:5.2f}, {ours / go:5.2f} times Go {go:5.2f}")


if __name__ == "__main__":
    main()
