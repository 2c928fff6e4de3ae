"""NVMe multipath: the disk of a controller is outside of its function's folder, and an open one is use all the same.

The layout is the kernel's (`nvme_alloc_ns` and `nvme_mpath_set_live` in drivers/nvme/host): below a controller there is
a hidden path without a node, `nvme0c1n2`; the disk of all its paths, `nvme0n2`, is below the subsystem. The PF and the
VFs of one card are controllers of one subsystem.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import holder_text
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.use.lock import holders

PF, VF = PciAddress(0, 3, 0, 0), PciAddress(0, 3, 0, 1)
SUBSYSTEM = "sys/devices/virtual/nvme-subsystem/nvme-subsys0"
OF_PF = ("nvme0n1", "nvme0n1p1", "ng0n1", "nvme0n3", "ng0n3", "nvme0")
"""Nodes of the PF: its own disk with a partition, the one that it shares with the VF, and its controller."""
OF_VF = ("nvme0n2", "ng0n2", "nvme0n3", "ng0n3", "nvme1")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for controller, address, disks in (("nvme0", PF, (1, 3)), ("nvme1", VF, (2, 3))):
        _controller(tmp_path, controller, address, disks)
    _node(tmp_path, f"{SUBSYSTEM}/nvme0n1/nvme0n1p1", "block")
    (tmp_path / "proc/1/ns").mkdir(parents=True)
    (tmp_path / "proc/1/ns/pid").symlink_to("pid:[4026531836]")
    (tmp_path / "proc/1/fd").mkdir()
    (tmp_path / "proc/1/comm").write_text("qemu-system-x86\n")
    return tmp_path


def _controller(root: Path, name: str, address: PciAddress, disks: Sequence[int]) -> None:
    function = f"sys/devices/pci0000:00/{address}"
    _node(root, f"{function}/nvme/{name}", "nvme")
    for disk in disks:
        (root / f"{function}/nvme/{name}/nvme0c{name[4:]}n{disk}/holders").mkdir(parents=True)
        _node(root, f"{SUBSYSTEM}/nvme0n{disk}", "block")
        _node(root, f"{SUBSYSTEM}/ng0n{disk}", "nvme-generic")
    (root / SUBSYSTEM / name).symlink_to(root / f"{function}/nvme/{name}")
    for folder in ("bus/pci/devices", "bus/pci/drivers/nvme"):
        (root / "sys" / folder).mkdir(parents=True, exist_ok=True)
    (root / f"sys/bus/pci/devices/{address}").symlink_to(f"../../../devices/pci0000:00/{address}")
    (root / function / "driver").symlink_to(root / "sys/bus/pci/drivers/nvme")


def _node(root: Path, folder: str, kind: str) -> None:
    name = folder.rpartition("/")[2]
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / "dev").write_text("259:0\n")
    (root / folder / "uevent").write_text(f"MAJOR=259\nDEVNAME={name}\n")
    link = root / "sys/class" / kind / name
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(f"../../../{folder}")
    if kind == "block":
        (root / folder / "holders").mkdir(exist_ok=True)


def a_sysfs(root: Path) -> Sysfs:
    return Sysfs(root / "sys", root / "dev", root / "proc")


def users(root: Path, address: PciAddress) -> list[str]:
    return [holder_text(holder) for holder in holders(a_sysfs(root), address, open_files=True)]


@pytest.mark.parametrize(("address", "nodes"), [(PF, OF_PF), (VF, OF_VF)])
def test_the_nodes_of_a_function_are_those_of_the_disks_that_it_has_a_path_to(
    root: Path, address: PciAddress, nodes: tuple[str, ...]
) -> None:
    assert set(a_sysfs(root).device_nodes(address)) == {f"/dev/{node}" for node in nodes}
    assert users(root, address) == []


@pytest.mark.parametrize("node", sorted({*OF_PF, *OF_VF}))
def test_an_open_disk_is_use_of_each_function_with_a_path_to_it_and_of_no_other(root: Path, node: str) -> None:
    (root / "proc/1/fd/3").symlink_to(f"/dev/{node}")
    told = [f"process 1 (qemu-system-x86) has /dev/{node} open"]
    assert users(root, PF) == (told if node in OF_PF else [])
    assert users(root, VF) == (told if node in OF_VF else [])


@pytest.mark.parametrize(
    ("disk", "user"), [("nvme0n1", [PF]), ("nvme0n1/nvme0n1p1", [PF]), ("nvme0n2", [VF]), ("nvme0n3", [PF, VF])]
)
def test_a_volume_on_such_a_disk_is_use(root: Path, disk: str, user: Sequence[PciAddress]) -> None:
    (root / SUBSYSTEM / disk / "holders/dm-3").symlink_to("../../../../../block/dm-3")
    told = [f"dm-3 holds /dev/{disk.rpartition('/')[2]}"]
    assert {address: users(root, address) for address in (PF, VF)} == {
        address: told if address in user else [] for address in (PF, VF)
    }


def test_a_path_whose_disk_is_not_there_yet_has_no_node(root: Path) -> None:
    for link in ("block/nvme0n2", "nvme-generic/ng0n2", "block/nvme0n3", "nvme-generic/ng0n3"):
        (root / "sys/class" / link).unlink()
    assert set(a_sysfs(root).device_nodes(VF)) == {"/dev/nvme1"}
