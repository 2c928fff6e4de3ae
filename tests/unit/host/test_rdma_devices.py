"""Which RDMA devices a function has, and their nodes: those of a card, and those over a netdev. On a fake kernel."""

from pathlib import Path

import pytest
from kernel import FakeKernel
from rdma import FakeRdma

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Inventory, Vf
from virtfn_host.core.values.parts import Part
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.rdma import rdma_devices

PF = PciAddress(0, 1, 0, 0)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    """A PF with three VFs on their own driver."""
    made = FakeKernel(tmp_path / "root", pfs=1)
    made.write(made.devices / str(PF) / "sriov_numvfs", "3")
    return made


def look(kernel: FakeKernel) -> Inventory:
    return read_inventory(kernel.machine().sysfs)


def vfs(kernel: FakeKernel) -> tuple[Vf, ...]:
    return look(kernel).pfs[0].vfs


def names(kernel: FakeKernel) -> list[list[str]]:
    return [[device.name for device in vf.rdma] for vf in vfs(kernel)]


def paths(nodes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(f"/dev/infiniband/{node}" for node in nodes))


@pytest.mark.parametrize("ports", [1, 2])
@pytest.mark.parametrize("umad", [True, False])
def test_a_cards_own_device_is_in_the_folder_of_its_function(kernel: FakeKernel, ports: int, umad: bool) -> None:
    rdma = FakeRdma(kernel, umad=umad)
    given = [
        rdma.of_card(vfs(kernel)[index].address, name, ports=ports) for index, name in ((0, "mlx5_2"), (2, "ibp1"))
    ]
    assert names(kernel) == [["mlx5_2"], [], ["ibp1"]]
    assert [vf.rdma[0].nodes for vf in vfs(kernel) if vf.rdma] == [paths(nodes) for nodes in given]
    assert len(given[0]) == 1 + 2 * ports * umad
    assert not any(device.virtual for vf in vfs(kernel) for device in vf.rdma)


def test_a_pf_has_its_own(kernel: FakeKernel) -> None:
    FakeRdma(kernel).of_card(PF, "mlx5_0")
    assert [device.name for device in look(kernel).pfs[0].rdma] == ["mlx5_0"]
    assert names(kernel) == [[], [], []]


@pytest.mark.parametrize("without", ["parent", "ports/1/gid_attrs/ndevs/0"])
def test_a_device_over_a_netdev_is_that_of_the_netdevs_function(kernel: FakeKernel, without: str) -> None:
    rdma = FakeRdma(kernel)
    given = rdma.of_rxe(vfs(kernel)[1].netdevs[0], "rxe0")
    (kernel.root / "sys/devices/virtual/infiniband/rxe0" / without).unlink()  # either tells the netdev
    rdma.of_rxe("eth77", "rxe1")
    assert names(kernel) == [[], ["rxe0"], []]
    (device,) = vfs(kernel)[1].rdma
    assert (device.nodes, device.virtual) == (paths(given), True)


def test_a_function_may_have_several(kernel: FakeKernel) -> None:
    rdma, vf = FakeRdma(kernel), vfs(kernel)[0]
    rdma.of_card(vf.address, "mlx5_9")
    rdma.of_rxe(vf.netdevs[0], "a_rxe")
    rdma.of_rxe(vf.netdevs[0], "b_rxe")
    assert names(kernel) == [["a_rxe", "b_rxe", "mlx5_9"], [], []]


def test_a_function_on_vfio_has_none(kernel: FakeKernel) -> None:
    kernel.register("vfio-pci")
    vf = vfs(kernel)[0].address
    kernel.write(kernel.drivers / "igbvf" / "unbind", str(vf))
    kernel.write(kernel.devices / str(vf) / "driver_override", "vfio-pci")
    kernel.write(kernel.drivers / "vfio-pci" / "bind", str(vf))
    FakeRdma(kernel).of_card(vf, "mlx5_2")
    assert names(kernel) == [[], [], []]


@pytest.mark.parametrize("node", [0, 1, 2])
def test_a_node_that_is_not_in_dev_is_left_out(kernel: FakeKernel, node: int) -> None:
    vf = vfs(kernel)[0].address
    given = FakeRdma(kernel).of_card(vf, "mlx5_2")
    (kernel.root / "dev/infiniband" / given[node]).unlink()
    (device,) = vfs(kernel)[0].rdma
    assert device.nodes == paths(tuple(name for name in given if name != given[node]))
    assert device.verbs is (node != 0)


def test_a_device_that_was_moved_to_another_network_namespace_is_not_there(kernel: FakeKernel) -> None:
    rdma, vf = FakeRdma(kernel), vfs(kernel)[0].address
    rdma.of_card(vf, "mlx5_2")
    rdma.set_netns("exclusive")
    assert names(kernel)[0] == ["mlx5_2"]
    rdma.move_away(vf)
    assert names(kernel)[0] == []


@pytest.mark.parametrize(("mode", "exclusive"), [("shared", False), ("exclusive", True), (None, False)])
def test_a_look_says_whether_devices_are_shared_among_namespaces(
    kernel: FakeKernel, mode: str | None, exclusive: bool
) -> None:
    if mode is not None:
        FakeRdma(kernel).set_netns(mode)
    assert look(kernel).rdma_exclusive is exclusive


@pytest.mark.parametrize("broken", ["infiniband", "infiniband_verbs", "infiniband_mad"])
def test_a_folder_that_cannot_be_read_is_told_of_as_a_part(kernel: FakeKernel, broken: str) -> None:
    vf = vfs(kernel)[0].address
    FakeRdma(kernel, umad=False)._make(kernel.devices / str(vf), "mlx5_2", 1)
    folder = kernel.devices / str(vf) / broken
    if folder.exists():
        folder.rename(folder.with_name("elsewhere"))
    folder.write_text("")
    found = [(lost.device, lost.path.rpartition("/")[2]) for lost in look(kernel).unreadable if lost.part is Part.RDMA]
    assert found == [(vf, broken)]


def nodes(kernel: FakeKernel, vf: int, *names: str) -> list[tuple[str, ...]]:
    """Ask as the device plugin does: by name."""
    sysfs, address = OneLook(kernel.machine().sysfs), vfs(kernel)[vf].address
    return [device.nodes for device in rdma_devices(sysfs, address, names)]


def test_a_name_that_another_card_has_now_leads_to_no_node(kernel: FakeKernel) -> None:
    rdma = FakeRdma(kernel)
    given = rdma.of_card(vfs(kernel)[1].address, "mlx5_2")
    assert nodes(kernel, 1, "mlx5_2") == [paths(given)]
    assert nodes(kernel, 0, "mlx5_2") == [()]
    assert nodes(kernel, 0, "mlx5_7") == [()]


def test_the_nodes_are_found_where_the_devices_themselves_are_not_to_be_seen(kernel: FakeKernel) -> None:
    rdma, vf = FakeRdma(kernel), vfs(kernel)[0].address
    given = rdma.of_card(vf, "mlx5_2")
    rdma.move_away(vf)
    assert nodes(kernel, 0, "mlx5_2") == [paths(given)]


@pytest.mark.parametrize("odd", ["abi_version", "uverbs", "uverbs0x", "ucm0", "uverbs12345678901"])
def test_other_entries_beside_the_nodes_are_no_nodes(kernel: FakeKernel, odd: str) -> None:
    rdma, vf = FakeRdma(kernel, umad=False), vfs(kernel)[0].address
    given = rdma.of_card(vf, "mlx5_2")
    folder = kernel.devices / str(vf) / "infiniband_verbs" / odd
    folder.mkdir()
    (folder / "ibdev").write_text("mlx5_2\n")
    assert nodes(kernel, 0, "mlx5_2") == [paths(given)]
