"""The parts of a node that the device plugin touches, for its tests."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from kernel import FakeKernel
from kubelet import FakeKubelet

from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_deviceplugin.manager import ServerManager
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet
from virtfn_host.linux import poolfile
from virtfn_host.linux.read.sysfs import Sysfs

FAST, SLOW = "virtfn.dev/fast", "virtfn.dev/slow"
BOOT = "0b7e"


def manager_of(kernel: FakeKernel, pools: Path, ledger: Path, kubelet_dir: Path, **switched_off: None) -> ServerManager:
    """Return a plugin on a fake kernel's tree; `device_info=None` or `cdi=None`: without that folder."""
    sysfs = Sysfs(kernel.root / "sys", kernel.root / "dev", kernel.root / "proc")
    folders = {"device_info": ledger.with_name("devinfo"), "cdi": ledger.with_name("cdi")}
    grants = GrantFile(ledger.with_name("grants.json"), **{**folders, **switched_off})
    return ServerManager(
        pool_file=pools, ledger=LedgerFile(ledger), kubelet_dir=kubelet_dir, sysfs=sysfs, grants=grants
    )


@dataclass
class Node:
    """The parts of the node that the plugin touches."""

    kernel: FakeKernel
    kubelet: FakeKubelet
    pools: Path
    ledger: Path
    manager: ServerManager
    running: "asyncio.Task[None]" = field(init=False)
    """The plugin's task."""

    @property
    def grants(self) -> Path:
        return self.ledger.with_name("grants.json")

    @property
    def device_infos(self) -> Path:
        return self.ledger.with_name("devinfo")

    @property
    def specs(self) -> Path:
        return self.ledger.with_name("cdi")

    def vfs(self, number: int = 0) -> list[PciAddress]:
        sysfs = self.kernel.machine().sysfs
        return [a for _, a in sorted(sysfs.vf_addresses(PciAddress(0, number + 1, 0, 0)).items())]

    def make_vfs(self, order: tuple[int, int] = (0, 1)) -> None:
        """Make three VFs on each of the two PFs, in this order, and bind them to vfio-pci."""
        for pf in (PciAddress(0, number + 1, 0, 0) for number in order):
            self.kernel.write(self.kernel.devices / str(pf) / "sriov_drivers_autoprobe", "0")
            self.kernel.write(self.kernel.devices / str(pf) / "sriov_numvfs", "3")
        for vf in [*self.vfs(0), *self.vfs(1)]:
            self.kernel.write(self.kernel.devices / str(vf) / "driver_override", "vfio-pci")
            self.kernel.write(self.kernel.drivers / "vfio-pci" / "bind", str(vf))

    def remove_vfs(self) -> None:
        for pf in (PciAddress(0, 2, 0, 0), PciAddress(0, 1, 0, 0)):
            self.kernel.write(self.kernel.devices / str(pf) / "sriov_numvfs", "0")

    def publish(self, *pools: DevicePool, boot_id: str = BOOT) -> None:
        poolfile.write(self.pools, PoolSet(boot_id=boot_id, pools=pools))

    def pool(self, name: str = FAST, number: int = 0, **fields: object) -> DevicePool:
        devices = [
            PoolDevice(address=vf, driver="vfio-pci", numa_node=None, healthy=True, reason=None)
            for vf in self.vfs(number)
        ]
        return DevicePool(resource_name=name, devices=tuple(devices))

    def pool_without(self, vf: PciAddress) -> DevicePool:
        pool = self.pool()
        return replace(pool, devices=tuple(device for device in pool.devices if device.address != vf))

    async def all_healthy(self, name: str = FAST, count: int = 3) -> None:
        await self.kubelet.until(lambda: list(self.kubelet.health(name).values()) == ["Healthy"] * count)

    async def lose_vfs(self) -> None:
        """Remove all VFs, and wait until the kubelet knows: otherwise what is healthy afterwards may be the list of
        before."""
        self.remove_vfs()
        await self.kubelet.until(
            lambda: not any("Healthy" in self.kubelet.health(name).values() for name in self.kubelet.plugins)
        )

    async def end_plugin(self) -> None:
        """End the plugin and wait until the kubelet has noticed."""
        self.running.cancel()
        await asyncio.wait([self.running])
        known = self.kubelet.plugins
        await self.kubelet.until(lambda: not any("Healthy" in self.kubelet.health(name).values() for name in known))

    @contextlib.asynccontextmanager
    async def plugin(self, **switched_off: None) -> AsyncIterator[ServerManager]:
        """Run another process of the plugin, after the first has ended."""
        manager = manager_of(self.kernel, self.pools, self.ledger, self.kubelet.folder, **switched_off)
        running = asyncio.create_task(manager.run())
        try:
            yield manager
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@contextlib.asynccontextmanager
async def plugin_node(
    tmp: Path, kubelet_class: type[FakeKubelet] = FakeKubelet, *, cdevs: bool = False
) -> AsyncIterator[Node]:
    """Run a kubelet and a plugin with two PFs of three VFs each on vfio-pci; check that no socket is left behind."""
    kernel = FakeKernel(tmp / "root", cdevs=cdevs)
    kernel.register("vfio-pci")
    pools, ledger = tmp / "pools.json", tmp / "ledger.json"
    # A socket's path has at most 108 bytes.
    with tempfile.TemporaryDirectory() as short:
        kubelet = kubelet_class(Path(short))
        await kubelet.start()
        manager = manager_of(kernel, pools, ledger, Path(short))
        made = Node(kernel=kernel, kubelet=kubelet, pools=pools, ledger=ledger, manager=manager)
        made.make_vfs()
        made.running = asyncio.create_task(manager.run())
        yield made
        made.running.cancel()
        await asyncio.gather(made.running, return_exceptions=True)
        await kubelet.stop()
        assert [path.name for path in Path(short).glob("virtfn-*")] == []
