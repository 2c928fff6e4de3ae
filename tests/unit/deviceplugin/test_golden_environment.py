"""The environment of a container, byte by byte, for each way in which a function reaches it.

`golden/` has one file for each: the variables one a line, as `env | sort` prints them. Names, keys and values follow
the SR-IOV network device plugin; docs/consumers/contract.md lists what differs.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from virtfn_deviceplugin.grant.granted import grant
from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_deviceplugin.grant.shown import Shown
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.extras import Extras
from virtfn_host.core.values.offered import DevicePool, PoolDevice
from virtfn_host.core.values.rdma import RdmaDevice

GOLDEN = Path(__file__).parent / "golden"
PF, GPU = PciAddress(0, 1, 0, 0), PciAddress(0, 0x65, 0, 0)
VFS = [PciAddress(0, 1, 0x10, 2 * n) for n in range(3)]


def pool(*addresses: PciAddress, driver: str = "vfio-pci", name: str = "intel.com/sriov_dpdk") -> DevicePool:
    devices = tuple(
        PoolDevice(address=a, driver=driver, numa_node=0, healthy=True, reason=None, no_iommu=True, pf=PF)
        for a in addresses
    )
    return DevicePool(resource_name=name, devices=devices)


WITH_VHOST = Extras(vhost_net=True, tun=True)


def on_vfio(group: str | None = None, cdev: str | None = None, *, both: bool = False) -> Shown:
    node = None if group is None else f"/host/dev/vfio/{group}"
    return Shown(driver="vfio-pci", vfio_bound=True, group_node=node, cdev=cdev, both=both)


def of(found: Mapping[PciAddress, Shown], offered: DevicePool) -> dict[str, str]:
    return grant(
        PoolOffer.of(offered), [str(address) for address in reversed(tuple(found))], found.__getitem__
    ).environment


def on_kernel(*devices: RdmaDevice, driver: str = "mlx5_core") -> Shown:
    return Shown(driver=driver, vfio_bound=False, group_node=None, cdev=None, rdma=devices)


def rdma(name: str, *nodes: str) -> RdmaDevice:
    return RdmaDevice(name=name, nodes=tuple(f"/dev/infiniband/{node}" for node in sorted(nodes)))


ON_MLX5 = on_kernel(rdma("mlx5_3", "uverbs3", "umad3", "issm3"))
ON_RXE = on_kernel(replace(rdma("rxe0", "uverbs7", "umad9"), virtual=True))
TWO_PORTS = on_kernel(rdma("mlx5_3", "uverbs3", "umad3", "issm3", "umad4", "issm4"))
RDMA_POOL = replace(
    pool(*VFS, driver="mlx5_core", name="intel.com/rdma"),
    devices=tuple(replace(one, rdma=("mlx5_3",)) for one in pool(*VFS, driver="mlx5_core").devices),
    extras=Extras(rdma=True),
)

ENVIRONMENTS = {
    "vfio": of({VFS[0]: on_vfio("42"), VFS[2]: on_vfio("44")}, pool(*VFS)),
    "noiommu": of({VFS[0]: on_vfio("noiommu-7")}, pool(*VFS)),
    "cdev": of({VFS[0]: on_vfio(cdev="vfio3")}, pool(*VFS)),
    "iommufd": of({VFS[0]: on_vfio("42", "vfio3", both=True)}, replace(pool(*VFS), extras=Extras(iommufd=True))),
    "vhost": of({VFS[0]: on_vfio("42")}, replace(pool(*VFS), extras=WITH_VHOST)),
    "kernel": of(
        {VFS[1]: Shown(driver="iavf", vfio_bound=False, group_node=None, cdev=None)},
        pool(*VFS, driver="iavf", name="intel.com/sriov-net"),
    ),
    "rdma": of({VFS[0]: ON_MLX5, VFS[1]: ON_RXE}, RDMA_POOL),
    "rdma-and-vhost": of({VFS[0]: TWO_PORTS}, replace(RDMA_POOL, extras=replace(WITH_VHOST, rdma=True))),
    "whole-function": of({GPU: on_vfio("12")}, replace(pool(GPU), resource_name="virtfn.dev/gpu")),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_environment_is_as_recorded(name: str) -> None:
    lines = "".join(f"{key}={value}\n" for key, value in sorted(ENVIRONMENTS[name].items()))
    assert lines == (GOLDEN / f"{name}.env").read_text()
