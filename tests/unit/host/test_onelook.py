"""One look reads a file once; a new look reads it again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.sysfs import Sysfs

ADDRESS = PciAddress(0, 1, 0, 0)


def machine(root: Path) -> Sysfs:
    (root / "sys/devices/pci0000:00/0000:01:00.0").mkdir(parents=True)
    (root / "sys/bus/pci/devices").mkdir(parents=True)
    (root / "sys/bus/pci/devices/0000:01:00.0").symlink_to("../../../devices/pci0000:00/0000:01:00.0")
    return Sysfs(root / "sys", root / "dev", root / "proc")


def test_what_changes_during_a_look_is_seen_by_the_next_one(tmp_path: Path) -> None:
    sysfs = machine(tmp_path)
    file = tmp_path / "sys/devices/pci0000:00/0000:01:00.0/enable"
    file.write_text("0\n")
    look = OneLook(sysfs)
    assert look.read(look.device(ADDRESS, "enable")) == "0"
    file.write_text("1\n")
    assert look.read(look.device(ADDRESS, "enable")) == "0"
    again = OneLook(sysfs)
    assert again.read(again.device(ADDRESS, "enable")) == "1"


def test_a_function_is_read_where_the_link_of_the_bus_leads(tmp_path: Path) -> None:
    sysfs = machine(tmp_path)
    assert OneLook(sysfs).device(ADDRESS, "enable") == f"{tmp_path}/sys/devices/pci0000:00/0000:01:00.0/enable"
    gone = PciAddress(0, 2, 0, 0)
    assert OneLook(sysfs).device(gone, "enable") == sysfs.device(gone, "enable")


# --- vfio drivers ----------------------------------------------------------------------------------------------------


def bound(root: Path, driver: str, number: int) -> tuple[Sysfs, list[PciAddress], Callable[[PciAddress], Path]]:
    """A machine with this many functions on a driver; none of them has `vfio-dev/` yet."""
    sys = root / "sys"
    addresses = [PciAddress(0, 1, 0, index) for index in range(number)]
    for address in addresses:
        folder = sys / "devices" / str(address)
        folder.mkdir(parents=True)
        (sys / "bus/pci/devices").mkdir(parents=True, exist_ok=True)
        (sys / "bus/pci/devices" / str(address)).symlink_to(f"../../../devices/{address}")
        (folder / "driver").symlink_to(f"../../bus/pci/drivers/{driver}")
    return (
        Sysfs(sys, root / "dev", root / "proc"),
        addresses,
        lambda address: sys / "devices" / str(address) / "vfio-dev",
    )


@pytest.mark.parametrize("driver", ["vfio-pci", "mlx5_vfio_pci", "nvgrace_gpu_vfio_pci"])
@pytest.mark.parametrize("probed", [[0], [1], [3], [0, 1], [0, 1, 2]], ids=str)
def test_a_function_that_its_vfio_driver_probes_says_nothing_of_others(
    tmp_path: Path, driver: str, probed: list[int]
) -> None:
    """The kernel makes the driver's link first, and `vfio-dev/` at the end of the probe. A driver of which the first
    function does not show it is asked for again at the next one."""
    sysfs, addresses, vfio_dev = bound(tmp_path, driver, 4)
    whole = [address for index, address in enumerate(addresses) if index not in probed]
    for address in whole:
        vfio_dev(address).mkdir()
    look = OneLook(sysfs)
    found = {address for address in addresses if look.vfio_bound(address)}
    assert found >= set(whole)


@pytest.mark.parametrize("driver", ["igbvf", "nvme", "pci-stub"])
def test_a_driver_that_is_none_of_vfio_is_none_for_all_of_its_functions(tmp_path: Path, driver: str) -> None:
    sysfs, addresses, _ = bound(tmp_path, driver, 3)
    look = OneLook(sysfs)
    assert [look.vfio_bound(address) for address in addresses] == [False] * 3
