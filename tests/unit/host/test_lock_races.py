"""A function that is bound to vfio while the in-use lock is being taken is refused, and no file is left open."""

import errno
import os
from pathlib import Path

import pytest
from kernel import FakeKernel, FakeSysfs

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.errors import FunctionInUseError
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.use.lock import held

PF = PciAddress(0, 1, 0, 0)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return two_vfs(FakeKernel(tmp_path))


def two_vfs(kernel: FakeKernel) -> FakeKernel:
    kernel.register("vfio-pci")
    kernel.write(kernel.devices / str(PF) / "sriov_drivers_autoprobe", "0")
    kernel.write(kernel.devices / str(PF) / "sriov_numvfs", "2")
    return kernel


def to_vfio(kernel: FakeKernel, vf: PciAddress) -> None:
    kernel.write(kernel.devices / str(vf) / "driver_override", "vfio-pci")
    kernel.write(kernel.drivers / "vfio-pci/bind", str(vf))


def test_one_that_comes_onto_vfio_between_the_groups_and_the_look_is_refused(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sysfs = kernel.machine().sysfs
    late, other = sysfs.vf_addresses(PF).values()
    to_vfio(kernel, other)
    look_again = OneLook.again

    def somebody_binds(look: OneLook) -> OneLook:
        to_vfio(kernel, late)
        return look_again(look)

    monkeypatch.setattr(OneLook, "again", somebody_binds)
    with pytest.raises(FunctionInUseError, match=f"{late} came into another IOMMU group, or onto vfio"):
        lock(sysfs, [late, other])
    monkeypatch.undo()
    lock(sysfs, [late, other])  # neither group was left open


def test_one_on_vfio_whose_group_has_no_node_here_is_refused(kernel: FakeKernel) -> None:
    sysfs = kernel.machine().sysfs
    vf, _ = sysfs.vf_addresses(PF).values()
    to_vfio(kernel, vf)
    (kernel.root / "dev/vfio" / kernel.node(vf)).unlink()
    with pytest.raises(FunctionInUseError, match=r"No such file or directory; is /dev of the host mounted here"):
        lock(sysfs, [vf])


@pytest.mark.parametrize("stale", [errno.ENXIO, errno.ENODEV])
def test_a_node_that_was_left_over_refuses_only_what_is_on_vfio(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch, stale: int
) -> None:
    def refused(_sysfs: FakeSysfs, _node: str) -> int:
        raise OSError(stale, os.strerror(stale))

    sysfs = kernel.machine().sysfs
    vf, other = sysfs.vf_addresses(PF).values()
    to_vfio(kernel, vf)
    monkeypatch.setattr(FakeSysfs, "open_group", refused)
    lock(sysfs, [other])
    with pytest.raises(FunctionInUseError, match=f"cannot tell whether .*: {os.strerror(stale)}; is /dev"):
        lock(sysfs, [vf])


def test_a_group_that_comes_during_a_look_is_seen_when_it_is_asked_for(tmp_path: Path) -> None:
    kernel = two_vfs(FakeKernel(tmp_path, cdevs=True))
    look = OneLook(kernel.machine().sysfs)
    first, second = look.vf_addresses(PF).values()
    to_vfio(kernel, first)
    assert look.has_group_node(group(look, first))
    to_vfio(kernel, second)
    assert look.has_group_node(group(look, second))


def group(sysfs: Sysfs, address: PciAddress) -> int:
    number = sysfs.group(address)
    assert number is not None
    return number


def lock(sysfs: Sysfs, addresses: list[PciAddress]) -> None:
    with held(sysfs, addresses):
        pass
