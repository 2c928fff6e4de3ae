"""Parts of functions that no emulated card can lose: netdevs, GUIDs, controllers; and files that do not read."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Function, Inventory
from virtfn_host.core.values.parts import Part
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.read.sysfs import Sysfs

PF = PciAddress(0, 1, 0, 0)
VF = PciAddress(0, 1, 0x10, 0)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    """A PF with one VF on its network driver."""
    made = FakeKernel(tmp_path / "root", pfs=1)
    made.write(made.devices / str(PF) / "sriov_numvfs", "1")
    return made


def look(kernel: FakeKernel) -> Inventory:
    return read_inventory(Sysfs(kernel.root / "sys", kernel.root / "dev", kernel.root / "proc"))


def seen(kernel: FakeKernel, address: PciAddress = VF) -> Function:
    found = look(kernel).find(address)
    assert found is not None
    return found


def folder(kernel: FakeKernel, address: PciAddress = VF) -> Path:
    return kernel.devices / str(address)


def of_class(kernel: FakeKernel, code: str) -> None:
    """A VF has its PF's class."""
    for address in (PF, VF):
        (folder(kernel, address) / "class").write_text(f"0x{code}\n")


def on_driver(kernel: FakeKernel, driver: str) -> None:
    """Put the VF on another driver, which makes no netdev."""
    kernel.register(driver)
    (folder(kernel) / "driver").unlink()
    (folder(kernel) / "driver").symlink_to(f"../../drivers/{driver}")
    shutil.rmtree(folder(kernel) / "net")


# --- netdevs ---------------------------------------------------------------------------------------------------------


def test_without_a_folder_of_netdevs_there_is_none(kernel: FakeKernel) -> None:
    assert seen(kernel).lacks == ()
    shutil.rmtree(folder(kernel) / "net")
    assert seen(kernel).lacks == (Part.NETDEV,)


def test_an_empty_folder_means_another_namespace(kernel: FakeKernel) -> None:
    shutil.rmtree(folder(kernel) / "net")
    (folder(kernel) / "net").mkdir()
    assert seen(kernel).lacks == ()


@pytest.mark.parametrize(
    ("code", "instead", "link_layer", "lacks"),
    [
        ("020700", "infiniband/mlx5_2", "InfiniBand", ()),
        ("020000", "infiniband/mlx5_2", "Ethernet", (Part.NETDEV,)),
        ("020700", "infiniband/mlx5_2", "Ethernet", (Part.NETDEV,)),
        ("020000", "infiniband/efa_0", "Unknown", ()),
        ("020800", "infiniband/hfi1_0", "InfiniBand", ()),
        ("028000", "infiniband/mlx4_0", "InfiniBand", ()),
        ("020000", "vdpa0", None, ()),
        ("120000", "accel", None, ()),
    ],
)
def test_infiniband_vdpa_and_other_devices_need_none(
    kernel: FakeKernel, code: str, instead: str, link_layer: str | None, lacks: tuple[Part, ...]
) -> None:
    of_class(kernel, code)
    shutil.rmtree(folder(kernel) / "net")
    (folder(kernel) / instead).mkdir(parents=True)
    if link_layer is not None:
        (folder(kernel) / instead / "node_guid").write_text("0002:c903:00a1:b2c3\n")
        port(kernel, VF, instead, link_layer, "4: ACTIVE")
    assert seen(kernel).lacks == lacks


def port(kernel: FakeKernel, address: PciAddress, device: str, link_layer: str, state: str, number: int = 1) -> Path:
    made = folder(kernel, address) / device / "ports" / str(number)
    made.mkdir(parents=True)
    (made / "link_layer").write_text(f"{link_layer}\n")
    (made / "state").write_text(f"{state}\n")
    return made


def test_a_vf_without_a_driver_lacks_nothing(kernel: FakeKernel) -> None:
    kernel.write(folder(kernel) / "driver/unbind", str(VF))
    assert seen(kernel).lacks == ()


# --- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "carrier", "lacks"),
    [
        ("0x1002", None, (Part.UP,)),
        ("0x1003", "0", (Part.CARRIER,)),
        ("0x1003", "1", ()),
        ("0x11043", None, ()),
    ],
)
def test_a_pf_shows_its_link(kernel: FakeKernel, flags: str, carrier: str | None, lacks: tuple[Part, ...]) -> None:
    (netdev,) = (folder(kernel, PF) / "net").iterdir()
    (netdev / "flags").write_text(f"{flags}\n")
    if carrier is not None:
        (netdev / "carrier").write_text(f"{carrier}\n")
    assert seen(kernel, PF).lacks == lacks


def test_the_best_of_several_ports_counts(kernel: FakeKernel) -> None:
    for name, carrier in (("eth8", "0"), ("eth9", "1")):
        (folder(kernel, PF) / "net" / name).mkdir()
        (folder(kernel, PF) / "net" / name / "flags").write_text("0x1003\n")
        (folder(kernel, PF) / "net" / name / "carrier").write_text(f"{carrier}\n")
    assert seen(kernel, PF).lacks == ()
    (folder(kernel, PF) / "net/eth9/carrier").write_text("0\n")
    assert seen(kernel, PF).lacks == (Part.CARRIER,)


@pytest.mark.parametrize("code", ["020700", "020000", "028000"])
@pytest.mark.parametrize("flags", ["0x1002", "0x1003"])
@pytest.mark.parametrize(
    ("states", "lacks"),
    [
        (("4: ACTIVE",), ()),
        (("1: DOWN",), (Part.PORT,)),
        (("2: INIT",), (Part.PORT,)),
        (("1: DOWN", "4: ACTIVE"), ()),
        (("1: DOWN", "3: ARMED"), (Part.PORT,)),
    ],
)
def test_on_infiniband_the_ports_are_the_link_and_not_the_netdev(
    kernel: FakeKernel, code: str, flags: str, states: tuple[str, ...], lacks: tuple[Part, ...]
) -> None:
    of_class(kernel, code)
    (netdev,) = (folder(kernel, PF) / "net").iterdir()
    (netdev / "flags").write_text(f"{flags}\n")
    for number, state in enumerate(states, start=1):
        port(kernel, PF, "infiniband/mlx5_0", "InfiniBand", state, number)
    (folder(kernel, PF) / "infiniband/mlx5_0/node_guid").write_text("0002:c903:00a1:b2c3\n")
    assert seen(kernel, PF).lacks == lacks


def test_an_rdma_device_on_ethernet_leaves_the_link_to_the_netdev(kernel: FakeKernel) -> None:
    port(kernel, PF, "infiniband/mlx5_0", "Ethernet", "1: DOWN")
    (folder(kernel, PF) / "infiniband/mlx5_0/node_guid").write_text("0002:c903:00a1:b2c3\n")
    (netdev,) = (folder(kernel, PF) / "net").iterdir()
    (netdev / "flags").write_text("0x1003\n")
    (netdev / "carrier").write_text("1\n")
    assert seen(kernel, PF).lacks == ()


def test_a_port_that_cannot_be_read_is_an_unknown_link(kernel: FakeKernel) -> None:
    found = port(kernel, PF, "infiniband/mlx5_0", "InfiniBand", "1: DOWN")
    (folder(kernel, PF) / "infiniband/mlx5_0/node_guid").write_text("0002:c903:00a1:b2c3\n")
    unreadable(found / "state")
    (lost,) = [it for it in look(kernel).unreadable if it.device == PF]
    assert (lost.part, lost.path) == (Part.UP, str(found / "state"))


def test_a_vf_has_its_pfs_link_and_none_of_its_own(kernel: FakeKernel) -> None:
    (netdev,) = (folder(kernel) / "net").iterdir()
    assert (netdev / "flags").read_text() == "0x1002\n"
    assert seen(kernel).lacks == ()


# --- GUIDs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guids", "lacks"),
    [
        (("0000:0000:0000:0000",), (Part.GUID,)),
        (("0002:c903:00a1:b2c3",), ()),
        (("0000:0000:0000:0000", "0002:c903:00a1:b2c3"), ()),
        (("",), (Part.GUID,)),
    ],
)
def test_a_guid_of_zeros_is_none(kernel: FakeKernel, guids: tuple[str, ...], lacks: tuple[Part, ...]) -> None:
    for number, guid in enumerate(guids):
        device = folder(kernel) / f"infiniband/mlx5_{number}"
        device.mkdir(parents=True)
        (device / "node_guid").write_text(f"{guid}\n")
    assert seen(kernel).lacks == lacks


@pytest.mark.parametrize(
    ("layers", "lacks"),
    [
        (("Ethernet",), ()),
        (("InfiniBand",), (Part.GUID,)),
        (("Ethernet", "InfiniBand"), (Part.GUID,)),
        (("Ethernet", "Ethernet"), ()),
    ],
)
def test_on_ethernet_a_guid_of_zeros_is_no_trouble(
    kernel: FakeKernel, layers: tuple[str, ...], lacks: tuple[Part, ...]
) -> None:
    for number, layer in enumerate(layers):
        port = folder(kernel) / f"infiniband/mlx5_{number}/ports/1"
        port.mkdir(parents=True)
        (port / "link_layer").write_text(f"{layer}\n")
        (port.parents[1] / "node_guid").write_text("0000:0000:0000:0000\n")
    assert seen(kernel).lacks == lacks


# --- controllers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "lacks"),
    [("live", ()), ("dead", (Part.CONTROLLER,)), ("connecting", (Part.CONTROLLER,)), (None, (Part.CONTROLLER,))],
)
def test_an_nvme_controller_is_live_or_lacking(kernel: FakeKernel, state: str | None, lacks: tuple[Part, ...]) -> None:
    of_class(kernel, "010802")
    on_driver(kernel, "nvme")
    if state is not None:
        (folder(kernel) / "nvme/nvme3").mkdir(parents=True)
        (folder(kernel) / "nvme/nvme3/state").write_text(f"{state}\n")
    assert seen(kernel).lacks == lacks


def test_another_driver_of_an_nvme_function_makes_no_controller(kernel: FakeKernel) -> None:
    of_class(kernel, "010802")
    on_driver(kernel, "uio_pci_generic")
    assert seen(kernel).lacks == ()


# --- files that do not read ------------------------------------------------------------------------------------------


def unreadable(path: Path) -> None:
    """Let a read of this file fail for every user: it is a folder."""
    path.unlink(missing_ok=True)
    path.mkdir()


def flags_of_the_pf(kernel: FakeKernel) -> tuple[PciAddress, Part]:
    unreadable(next((folder(kernel, PF) / "net").iterdir()) / "flags")
    return PF, Part.UP


def guid_of_the_vf(kernel: FakeKernel) -> tuple[PciAddress, Part]:
    (folder(kernel) / "infiniband/mlx5_0").mkdir(parents=True)
    unreadable(folder(kernel) / "infiniband/mlx5_0/node_guid")
    return VF, Part.GUID


def state_of_the_vf(kernel: FakeKernel) -> tuple[PciAddress, Part]:
    of_class(kernel, "010802")
    on_driver(kernel, "nvme")
    (folder(kernel) / "nvme/nvme3").mkdir(parents=True)
    unreadable(folder(kernel) / "nvme/nvme3/state")
    return VF, Part.CONTROLLER


@pytest.mark.parametrize("spoil", [flags_of_the_pf, guid_of_the_vf, state_of_the_vf])
def test_a_part_that_does_not_read_is_unknown_and_nothing_else_is(
    kernel: FakeKernel, spoil: Callable[[FakeKernel], tuple[PciAddress, Part]]
) -> None:
    address, part = spoil(kernel)
    (lost,) = look(kernel).unreadable
    assert (lost.device, lost.part) == (address, part)
    assert seen(kernel, address).lacks == ()
    assert {PF, VF} <= {function.address for function in look(kernel).every}


def test_a_switch_of_vfio_that_does_not_read_ends_no_look(kernel: FakeKernel) -> None:
    kernel.tell_vfio("Y")
    assert look(kernel).noiommu is True
    unreadable(kernel.root / "sys/module/vfio/parameters/enable_unsafe_noiommu_mode")
    assert look(kernel).noiommu is None
