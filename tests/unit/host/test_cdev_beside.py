"""`grant.iommufd`: the look notes where a function's cdev is away, and only pools that ask for it mind."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.core.checks.healthy import usable
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DesiredFunction
from virtfn_host.core.values.extras import Extras
from virtfn_host.core.values.model import Inventory
from virtfn_host.core.values.parts import Part
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.read.parts import vfio_nodes

PF = PciAddress(0, 1, 0, 0)
VF = PciAddress(0, 1, 0x10, 0)


def a_kernel(tmp_path: Path, **kinds: bool) -> FakeKernel:
    """Make a machine with one VF on vfio-pci."""
    kernel = FakeKernel(tmp_path / "root", pfs=1, **kinds)
    kernel.register("vfio-pci")
    kernel.write(kernel.devices / str(PF) / "sriov_drivers_autoprobe", "0")
    kernel.write(kernel.devices / str(PF) / "sriov_numvfs", "1")
    kernel.write(kernel.devices / str(VF) / "driver_override", "vfio-pci")
    kernel.write(kernel.drivers / "vfio-pci" / "bind", str(VF))
    return kernel


def cdev_node(kernel: FakeKernel) -> Path:
    (node,) = (kernel.root / "dev/vfio/devices").iterdir()
    return node


def said(inventory: Inventory, *, iommufd: bool) -> list[tuple[Reason, str]]:
    """Return why a pod could not use the VF by a pool that asks for its cdev, or not."""
    wanted = DesiredFunction(
        driver="vfio-pci",
        driver_override="vfio-pci",
        resource_name="virtfn.dev/fast",
        policy="fast",
        extras=Extras(iommufd=iommufd),
    )
    function = inventory.find(VF)
    assert function is not None
    return [(found.reason, found.message) for found in usable(wanted, function, inventory)]


def lacks(inventory: Inventory) -> tuple[Part, ...]:
    function = inventory.find(VF)
    assert function is not None
    return function.lacks


def is_without_cdevs(kernel: FakeKernel) -> None:
    """Linux 6.2 to 6.5, or without VFIO_DEVICE_CDEV: iommufd is loaded, and there is only the folder."""
    (kernel.root / "sys/class/misc/iommu").mkdir(parents=True)
    (kernel.root / "dev/iommu").touch()


def has_iommufd_unloaded(kernel: FakeKernel) -> None:
    """Have the node, by which the kernel would load the module when a program opens it, and no module."""
    (kernel.root / "dev/iommu").touch()


def has_no_node_of_the_cdev(kernel: FakeKernel) -> None:
    cdev_node(kernel).unlink()


def has_a_folder_for_it(kernel: FakeKernel) -> None:
    node = cdev_node(kernel)
    node.unlink()
    node.mkdir()


AWAY = [
    (False, is_without_cdevs),
    (False, has_iommufd_unloaded),
    (True, has_no_node_of_the_cdev),
    (True, has_a_folder_for_it),
]


@pytest.mark.parametrize(("cdevs", "change"), AWAY)
def test_without_its_cdev_a_function_is_not_usable_where_the_pool_gives_it(
    tmp_path: Path, cdevs: bool, change: Callable[[FakeKernel], None]
) -> None:
    kernel = a_kernel(tmp_path, cdevs=cdevs)
    change(kernel)
    found = read_inventory(kernel.machine().sysfs)
    ((reason, text),) = said(found, iommufd=True)
    assert (reason, lacks(found)) == (Reason.NOT_USABLE, (Part.CDEV,))
    allocate = vfio_nodes(kernel.machine().sysfs, VF, iommufd=True, both=True)
    assert text == f"has {allocate.lacks}"
    assert said(found, iommufd=False) == []


@pytest.mark.parametrize(
    ("kinds", "iommufd"),
    [({"cdevs": True}, True), ({"cdevs": True, "groups": False}, True), ({"cdevs": True}, False), ({}, False)],
)
def test_a_whole_function_is_usable(tmp_path: Path, kinds: dict[str, bool], iommufd: bool) -> None:
    found = read_inventory(a_kernel(tmp_path, **kinds).machine().sysfs)
    assert (lacks(found), said(found, iommufd=iommufd)) == ((), [])


def test_without_iommufd_that_is_the_one_reason(tmp_path: Path) -> None:
    found = read_inventory(a_kernel(tmp_path).machine().sysfs)
    ((_, text),) = said(found, iommufd=True)
    assert (text, lacks(found)) == ("has no /dev/iommu beside it, which grant.iommufd asks for", ())


def test_a_cdev_that_cannot_be_examined_is_unknown_to_those_pools_alone(tmp_path: Path) -> None:
    kernel = a_kernel(tmp_path, cdevs=True)
    node = cdev_node(kernel)
    node.unlink()
    node.symlink_to(node)
    found = read_inventory(kernel.machine().sysfs)
    ((reason, text),) = said(found, iommufd=True)
    assert (reason, str(node) in text) == (Reason.UNREADABLE, True)
    assert said(found, iommufd=False) == []


@pytest.mark.parametrize("both", [False, True])
def test_a_cdev_takes_no_groups_place(tmp_path: Path, both: bool) -> None:
    kernel = a_kernel(tmp_path, cdevs=True)
    (kernel.root / "dev/vfio" / kernel.node(VF)).unlink()
    assert vfio_nodes(kernel.machine().sysfs, VF, both=both).missing is Part.NODE
    assert said(read_inventory(kernel.machine().sysfs), iommufd=both) == [(Reason.NOT_USABLE, "has no device node")]
