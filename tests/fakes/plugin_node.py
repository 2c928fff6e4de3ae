"""The parts of a node that the device plugin touches, for its tests."""

from dataclasses import dataclass
from pathlib import Path

from kernel import FakeKernel
from kubelet import FakeKubelet

from virtfn_deviceplugin.manager import ServerManager
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet
from virtfn_host.linux import poolfile

FAST, SLOW = "virtfn.dev/fast", "virtfn.dev/slow"
BOOT = "0b7e"


@dataclass
class Node:
    """The parts of the node that the plugin touches."""

    kernel: FakeKernel
    kubelet: FakeKubelet
    pools: Path
    ledger: Path
    manager: ServerManager

    def vfs(self, number: int = 0) -> list[PciAddress]:
        sysfs = self.kernel.machine().sysfs
        return [a for _, a in sorted(sysfs.vf_addresses(PciAddress(0, number + 1, 0, 0)).items())]

    def publish(self, *pools: DevicePool, boot_id: str = BOOT) -> None:
        poolfile.write(self.pools, PoolSet(boot_id=boot_id, pools=pools))

    def pool(self, name: str = FAST, number: int = 0, **fields: object) -> DevicePool:
        devices = [
            PoolDevice(address=vf, driver="vfio-pci", numa_node=None, healthy=True, reason=None)
            for vf in self.vfs(number)
        ]
        return DevicePool(resource_name=name, devices=tuple(devices))

    async def all_healthy(self, name: str = FAST, count: int = 3) -> None:
        await self.kubelet.until(lambda: list(self.kubelet.health(name).values()) == ["Healthy"] * count)
