"""Device plugins to measure: the real program on the fake kernel's tree, and a floor that answers without looking."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernel import FakeKernel
from kubelet import FakeKubelet

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet
from virtfn_host.linux import poolfile
from virtfn_lab import go_tools
from virtfn_lab.paths import repository

CANNED = (sys.executable, Path(__file__).with_name("canned.py"))
"""The command of the floor in grpc.aio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A device plugin that its kubelet has every list of."""

    pid: int
    kubelet: FakeKubelet
    registered_after: float
    """Seconds from the start of the process to the last of the first lists."""


def pools_on(kernel: FakeKernel, devices: int, pools: int) -> tuple[DevicePool, ...]:
    """Make so many functions on vfio-pci, and offer them in so many pools."""
    kernel.register("vfio-pci")
    (kernel.root / "dev/vfio/vfio").touch()
    addresses = [PciAddress(0, 0x40 + number // 256, number // 8 % 32, number % 8) for number in range(devices)]
    for address in addresses:
        kernel.add_pf(address)
        for name, value in (("driver/unbind", f"{address}"), ("driver_override", "vfio-pci")):
            kernel.write(kernel.devices / str(address) / name, value)
        kernel.write(kernel.drivers / "vfio-pci/bind", str(address))
    offered = [PoolDevice(address=a, driver="vfio-pci", numa_node=0, healthy=True, reason=None) for a in addresses]
    return tuple(
        DevicePool(resource_name=f"virtfn.dev/pool-{number:02d}", devices=tuple(offered[number::pools]))
        for number in range(pools)
    )


@contextlib.asynccontextmanager
async def our_plugin(
    place: Path, kernel: FakeKernel, pools: tuple[DevicePool, ...], grants: Path | None = None
) -> AsyncIterator[Running]:
    """Run our plugin in a folder of its own.

    Args:
        grants: the file of grants, which is on a disk on a node; None: beside the ledger.
    """
    place.mkdir()  # the pool file and the ledger have folders of their own, as on a node
    poolfile.write(place / "run/pools.json", PoolSet(boot_id="0b7e", pools=pools))
    words: list[object] = [sys.executable, "-m", "virtfn_deviceplugin", "--pools", place / "run/pools.json"]
    words += ["--ledger", place / "ledger/ledger.json", "--kubelet-dir", place, "--health-port", "0"]
    words += [] if grants is None else ["--grants", grants]
    words += [word for name in ("sys", "dev", "proc") for word in (f"--{name}", kernel.root / name)]
    async with _running(place, words, pools) as running:
        yield running


@contextlib.asynccontextmanager
async def canned_plugin(
    place: Path, pools: tuple[DevicePool, ...], program: Sequence[object] = CANNED
) -> AsyncIterator[Running]:
    """Run a floor, which offers the same devices of the first pool: that in grpc.aio, or that in Go."""
    place.mkdir()
    (pool, *_) = pools
    words = [*program, place, pool.resource_name, *(str(device.address) for device in pool.devices)]
    async with _running(place, words, pools[:1]) as running:
        yield running


def canned_in_go() -> tuple[Path]:
    """Build the floor in Go; return its command."""
    return (go_tools.program(Path(__file__).with_name("canned_go")),)


@contextlib.asynccontextmanager
async def _running(place: Path, words: Sequence[object], pools: Sequence[DevicePool]) -> AsyncIterator[Running]:
    kubelet = FakeKubelet(place)
    await kubelet.start()
    path = os.pathsep.join(str(repository() / part) for part in ("deviceplugin", "host"))
    loop = asyncio.get_running_loop()
    began = loop.time()
    process = await asyncio.create_subprocess_exec(
        *map(str, words), env=os.environ | {"PYTHONPATH": path}, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await kubelet.until(lambda: all(kubelet.health(pool.resource_name) for pool in pools), 120)
        yield Running(pid=process.pid, kubelet=kubelet, registered_after=loop.time() - began)
    finally:
        process.terminate()
        await process.wait()
        await kubelet.stop()
