"""Content that no kernel writes becomes one `unreadable` entry: the look goes on, and what depends on it is in use."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause
from virtfn_host.core.values.model import Observation, Preflight
from virtfn_host.core.values.parts import Part
from virtfn_host.core.values.strict_json import parse_json
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.look.surroundings import modalias, read_aliases, read_function, read_surroundings
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.use.lock import evidence
from virtfn_host.process.protocol import LINE_LIMIT, line

PF, OTHER = PciAddress(0, 1, 0, 0), PciAddress(0, 2, 0, 0)
Spoil = Callable[[Path], object]


def text(data: bytes) -> Spoil:
    def spoiled(path: Path) -> None:
        gone(path)
        path.write_bytes(data)

    return spoiled


def link(target: str) -> Spoil:
    def spoiled(path: Path) -> None:
        gone(path)
        path.symlink_to(target)

    return spoiled


def gone(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for child in path.iterdir():
            gone(child)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def folder(path: Path) -> None:
    gone(path)
    path.mkdir()


def fifo(path: Path) -> None:
    gone(path)
    os.mkfifo(path)


ODD: dict[str, Spoil] = {
    "words": text(b"what is this"),
    "binary": text(b"\xff\xfe\x00\x80"),
    "5,000 digits": text(b"9" * 5000),
    "4,000 digits": text(b"9" * 4000),
    "a megabyte": text(b"1" * (1 << 20)),
    "a folder": folder,
    "a fifo": fifo,
    "no end": link("/dev/zero"),
    "a device": link("/dev/null"),
    "a loop": lambda path: link(path.name)(path),
}


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    kernel = FakeKernel(tmp_path / "root")
    kernel.write(kernel.devices / str(PF) / "sriov_numvfs", "3")
    kernel.write(kernel.devices / str(OTHER) / "sriov_numvfs", "2")
    return kernel


def observed(kernel: FakeKernel) -> Observation:
    """Look as the host process does; check that the result can be encoded."""
    sysfs = Sysfs(kernel.root / "sys", kernel.root / "dev", kernel.root / "proc")
    inventory = read_inventory(sysfs)
    found = Observation(
        inventory=inventory,
        evidence=evidence(sysfs, inventory),
        originals=(),
        journal_error=None,
        stuck=None,
        preflight=Preflight(),
    )
    assert parse_json(line("observation", found), limit=LINE_LIMIT)
    return found


def the_other_is_whole(found: Observation) -> bool:
    pf = found.inventory.pf(OTHER)
    return pf is not None and pf.num_vfs == 2


@pytest.mark.parametrize("spoil", ODD.values(), ids=ODD)
@pytest.mark.parametrize(
    "name", ["class", "vendor", "device", "numa_node", "sriov_totalvfs", "sriov_drivers_autoprobe"]
)
def test_an_attribute_is_one_entry(name: str, spoil: Spoil, kernel: FakeKernel) -> None:
    spoil(kernel.devices / str(PF) / name)
    found = observed(kernel)
    assert [lost.device for lost in found.inventory.unreadable] == [PF]
    assert f"{PF}/{name}" in found.inventory.unreadable[0].path
    assert found.inventory.pf(PF) is None
    assert the_other_is_whole(found)


@pytest.mark.parametrize("number", [1024, 4096, 9_999_999_999])
def test_a_numa_node_that_no_kernel_has_is_one_entry(number: int, kernel: FakeKernel) -> None:
    """It could not be written into the pool file, and so nothing could."""
    (kernel.devices / str(PF) / "numa_node").write_text(f"{number}\n")
    found = observed(kernel)
    assert [lost.device for lost in found.inventory.unreadable] == [PF]
    assert the_other_is_whole(found)


@pytest.mark.parametrize("target", ["words", "9" * 200, "\udcff\udcfe", "../../x y", "0000:01:10.8", "-"])
@pytest.mark.parametrize("name", ["iommu_group", "virtfn1"])
def test_a_link_that_leads_to_no_such_thing_is_one_entry(name: str, target: str, kernel: FakeKernel) -> None:
    link(f"../{target}")(kernel.devices / str(PF) / name)
    found = observed(kernel)
    assert {lost.device for lost in found.inventory.unreadable} == {PF}
    assert len(found.inventory.unreadable) == 1
    assert the_other_is_whole(found)


@pytest.mark.parametrize("name", ["\udcff", "a\nb", "a\x1b[2Jb", "a\x7f"])
def test_the_name_of_a_driver_that_is_no_text_is_one_entry(name: str, kernel: FakeKernel) -> None:
    (kernel.drivers / name).mkdir()
    link(f"../../../bus/pci/drivers/{name}")(kernel.devices / str(PF) / "driver")
    found = observed(kernel)
    assert [lost.device for lost in found.inventory.unreadable] == [PF]
    assert the_other_is_whole(found)


@pytest.mark.parametrize("name", ["virtfn", "virtfn-1", "virtfnx", "virtfn\u00b2", "virtfn999999", "virtfn1x"])
def test_what_only_looks_like_the_link_of_a_vf_is_none(name: str, kernel: FakeKernel) -> None:
    (kernel.devices / str(PF) / name).symlink_to("../nothing")
    found = observed(kernel)
    pf = found.inventory.pf(PF)
    assert pf is not None
    assert pf.num_vfs == 3


@pytest.mark.parametrize("spoil", [ODD["binary"], ODD["a megabyte"], ODD["a folder"], ODD["a fifo"], ODD["no end"]])
def test_the_name_of_a_port_is_one_entry_and_its_function_stays_in_sight(spoil: Spoil, kernel: FakeKernel) -> None:
    (netdev,) = (kernel.devices / str(PF) / "net").iterdir()
    spoil(netdev / "phys_port_name")
    found = observed(kernel)
    assert [lost.path.rpartition("/")[2] for lost in found.inventory.unreadable] == ["phys_port_name"]
    pf = found.inventory.pf(PF)
    assert pf is not None
    assert pf.netdevs == ()


@pytest.mark.parametrize("name", ["e\x1b[31mX", "x\udcff\udcfe", "a\x7f", "a\u00a0b", "a\u202eb"])
def test_a_netdev_of_a_vf_whose_name_is_no_text_costs_that_vf_only(name: str, kernel: FakeKernel) -> None:
    """Linux takes such a name from a pod with NET_ADMIN for the netdev of the VF that it holds."""
    net = kernel.devices / str(PF) / "virtfn1/net"
    (netdev,) = net.iterdir()
    netdev.rename(net / name)
    found = observed(kernel)
    pf = found.inventory.pf(PF)
    assert pf is not None
    assert [(vf.index, len(vf.netdevs)) for vf in pf.vfs] == [(0, 1), (1, 0), (2, 1)]
    assert [(lost.device, lost.part) for lost in found.inventory.unreadable] == [(pf.vfs[1].address, Part.NETDEV)]
    assert found.evidence.of(pf.vfs[1].address)
    assert the_other_is_whole(found)


@pytest.mark.parametrize("member", ["fsl-mc.0", "0000:ff:1f.9", "serial8250", "\udcff"])
def test_a_member_of_a_group_that_is_no_pci_function_is_one_entry_and_counts_as_in_use(
    member: str, kernel: FakeKernel
) -> None:
    group = (kernel.devices / str(PF) / "virtfn1/iommu_group").resolve()
    (group / "devices" / member).mkdir()
    found = observed(kernel)
    (lost,) = found.inventory.unreadable
    assert lost.device == PF
    vf = found.inventory.pf(PF).vfs[1]  # type: ignore[union-attr]
    assert [holder.cause for holder in found.evidence.of(vf.address)] == [Cause.UNREADABLE]
    assert the_other_is_whole(found)


@pytest.mark.parametrize("flags", [b"up", b"\xff", b"", b"9" * 5000])
def test_a_netdev_of_which_nobody_can_tell_counts_as_in_use(flags: bytes, kernel: FakeKernel) -> None:
    vf = kernel.devices / str(PF) / "virtfn0"
    (netdev,) = (vf / "net").iterdir()
    (netdev / "flags").write_bytes(flags)
    found = observed(kernel)
    assert found.evidence.of(PciAddress.parse(vf.resolve().name))


@pytest.mark.parametrize("spoil", ODD.values(), ids=ODD)
@pytest.mark.parametrize("name", ["proc/sys/kernel/random/boot_id", "proc/sys/kernel/osrelease"])
def test_a_machine_that_does_not_say_its_name_is_looked_at_all_the_same(
    name: str, spoil: Spoil, kernel: FakeKernel
) -> None:
    (kernel.root / name).parent.mkdir(parents=True, exist_ok=True)
    spoil(kernel.root / name)
    found = observed(kernel)
    assert the_other_is_whole(found)
    assert len(found.inventory.boot_id) <= 64
    assert len(found.inventory.kernel) <= 65


@pytest.mark.parametrize("spoil", ODD.values(), ids=ODD)
@pytest.mark.parametrize("name", ["modules.dep", "modules.builtin", "modules.alias", "modules.builtin.modinfo"])
def test_a_table_of_modules_ends_no_look(name: str, spoil: Spoil, kernel: FakeKernel) -> None:
    sysfs = Sysfs(kernel.root / "sys", kernel.root / "dev", kernel.root / "proc")
    tables = sysfs.modules_folder()
    tables.mkdir(parents=True)
    (tables / "modules.dep").write_text("kernel/drivers/vfio/pci/vfio-pci.ko:\n")
    spoil(tables / name)
    found = observed(kernel)
    assert the_other_is_whole(found)
    assert not found.inventory.unreadable
    assert isinstance(read_aliases(sysfs), str)
    read_surroundings(sysfs)


@pytest.mark.parametrize("spoil", ODD.values(), ids=ODD)
def test_what_only_tells_people_more_is_left_out(spoil: Spoil, kernel: FakeKernel) -> None:
    sysfs = Sysfs(kernel.root / "sys", kernel.root / "dev", kernel.root / "proc")
    spoil(kernel.devices / str(PF) / "modalias")
    (kernel.root / "etc").mkdir()
    spoil(kernel.root / "etc/os-release")
    assert isinstance(modalias(sysfs, PF), str)
    read_surroundings(sysfs)
    assert read_function(sysfs, PF, read_inventory(sysfs)) is not None
