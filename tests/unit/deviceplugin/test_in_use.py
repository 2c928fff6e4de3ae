"""A function that the kernel shows in use is given to nobody else, however often the kubelet asks."""

from pathlib import Path

import grpc
import pytest
from kernel import FakeKernel
from plugin_node import FAST, Node

from virtfn_deviceplugin.grant.functions import used_by
from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux import poolfile
from virtfn_host.linux.errors import HostError
from virtfn_host.linux.read.sysfs import Sysfs

VFS = [PciAddress(0, 1, 0x10, 2 * number) for number in range(2)]


def kernel_with_vfs(root: Path, **habits: bool) -> tuple[FakeKernel, Sysfs]:
    kernel = FakeKernel(root, pfs=1, **habits)
    kernel.register("vfio-pci")
    pf = kernel.devices / "0000:01:00.0"
    kernel.write(pf / "sriov_drivers_autoprobe", "0")
    kernel.write(pf / "sriov_numvfs", "2")
    for vf in VFS:
        kernel.write(kernel.devices / str(vf) / "driver_override", "vfio-pci")
        kernel.write(kernel.drivers / "vfio-pci" / "bind", str(vf))
    return kernel, Sysfs(kernel.root / "sys", kernel.root / "dev", kernel.root / "proc")


def share_a_group(kernel: FakeKernel) -> None:
    group = (kernel.devices / str(VFS[0]) / "iommu_group").resolve()
    kernel.groups.leave(kernel.devices / str(VFS[1]))
    kernel.groups.join(kernel.devices / str(VFS[1]), group)


async def test_the_same_pods_repeat_before_it_runs_is_answered_alike(node: Node) -> None:
    """A container that takes over what an init container had, and a kubelet that asks again."""
    node.publish(node.pool())
    await node.all_healthy()
    ids = [str(vf) for vf in node.vfs()[:2]]
    first, second = [await node.kubelet.allocate(FAST, *ids) for _ in range(2)]
    assert first == second


@pytest.mark.parametrize("ids", [[0], [1, 0], [2, 0, 1]])
async def test_one_that_is_open_is_refused_alone_or_among_others_and_nothing_is_noted(
    node: Node, ids: list[int]
) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    vfs = node.vfs()
    await node.kubelet.allocate(FAST, str(vfs[0]))
    node.kernel.open_device(vfs[0])
    before = poolfile.read_ledger(node.ledger)
    with pytest.raises(grpc.aio.AioRpcError, match=rf"{vfs[0]} of {FAST} is in use: .* has it open, so another pod"):
        await node.kubelet.allocate(FAST, *(str(vfs[index]) for index in ids))
    assert poolfile.read_ledger(node.ledger) == before
    node.kernel.close_device(vfs[0])
    await node.kubelet.allocate(FAST, *(str(vfs[index]) for index in ids))


async def test_one_that_shares_its_group_with_one_that_is_open_is_refused(node: Node) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    first, second, third = node.vfs()
    group = (node.kernel.devices / str(first) / "iommu_group").resolve()
    node.kernel.groups.leave(node.kernel.devices / str(second))
    node.kernel.groups.join(node.kernel.devices / str(second), group)
    node.kernel.open_device(first)
    with pytest.raises(grpc.aio.AioRpcError, match=f"a program on this node has {first} of its IOMMU group open"):
        await node.kubelet.allocate(FAST, str(second))
    await node.kubelet.allocate(FAST, str(third))


async def test_a_container_that_runs_may_be_started_again(node: Node) -> None:
    """PreStartContainer does not ask who has it open: containers of one pod may share what an init container had."""
    node.publish(node.pool())
    await node.all_healthy()
    vf = node.vfs()[0]
    await node.kubelet.allocate(FAST, str(vf))
    node.kernel.open_device(vf)
    await node.kubelet.pre_start(FAST, str(vf))


@pytest.mark.parametrize(
    "habits",
    [{}, {"cdevs": True}, {"cdevs": True, "groups": False}, {"iommu": False, "noiommu": True}],
    ids=["groups", "groups and cdevs", "cdevs", "no IOMMU"],
)
def test_use_shows_on_every_kind_of_vfio(habits: dict[str, bool], tmp_path: Path) -> None:
    kernel, sysfs = kernel_with_vfs(tmp_path / "root", **habits)
    assert used_by(sysfs, VFS[0]) is None
    if kernel.vfio.groups:
        kernel.open_device(VFS[0])
    else:
        kernel.vfio.bind_cdev(VFS[0], kernel.node(VFS[0]))
    assert used_by(sysfs, VFS[0]) == VFS[0]
    assert used_by(sysfs, VFS[1]) is None
    kernel.close_device(VFS[0])
    assert used_by(sysfs, VFS[0]) is None


def test_a_member_on_a_driver_of_the_kernel_is_nobodys_use_of_vfio(tmp_path: Path) -> None:
    kernel, sysfs = kernel_with_vfs(tmp_path / "root")
    share_a_group(kernel)
    kernel.write(kernel.devices / str(VFS[1]) / "driver/unbind", str(VFS[1]))
    (kernel.devices / str(VFS[1]) / "enable").write_text("1\n")
    assert used_by(sysfs, VFS[0]) is None


def test_what_cannot_be_told_counts_as_use(tmp_path: Path) -> None:
    kernel, sysfs = kernel_with_vfs(tmp_path / "root")
    enable = kernel.devices / str(VFS[0]) / "enable"
    enable.unlink()
    assert used_by(sysfs, VFS[0]) == VFS[0]
    enable.mkdir()
    with pytest.raises(HostError):
        used_by(sysfs, VFS[0])
