"""Network cards: an open RDMA or vDPA node drives the card and counts as use, an open clock or sensor does not."""

from pathlib import Path

import pytest
from kernel import FakeKernel
from rdma import FakeRdma
from vfio import PROGRAM

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import holder_text
from virtfn_host.linux.errors import FunctionInUseError
from virtfn_host.linux.use.lock import held, holders

PF = PciAddress(0, 1, 0, 0)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    """A PF with one VF on its network driver."""
    made = FakeKernel(tmp_path / "root", pfs=1)
    made.write(made.devices / str(PF) / "sriov_numvfs", "1")
    return made


def vf_of(kernel: FakeKernel) -> PciAddress:
    (vf,) = kernel.machine().sysfs.vf_addresses(PF).values()
    return vf


def a_device(kernel: FakeKernel, vf: PciAddress, folder: str, node: str) -> None:
    made = kernel.devices / str(vf) / folder
    made.mkdir(parents=True)
    (made / "dev").write_text("511:0\n")
    (made / "uevent").write_text(f"MAJOR=511\nMINOR=0\nDEVNAME={node}\n")


def opened(kernel: FakeKernel, node: str) -> None:
    (kernel.root / f"proc/{PROGRAM}/fd/3").symlink_to(f"/dev/{node}")


def users(kernel: FakeKernel, vf: PciAddress) -> list[str]:
    return [holder_text(holder) for holder in holders(kernel.machine().sysfs, vf, open_files=True)]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_open_node_of_its_rdma_device_is_use(kernel: FakeKernel, number: int) -> None:
    vf = vf_of(kernel)
    nodes = FakeRdma(kernel).of_card(vf, "mlx5_2")  # uverbs, umad, issm
    assert users(kernel, vf) == []
    opened(kernel, f"infiniband/{nodes[number]}")
    assert users(kernel, vf) == [f"process 4242 (python3) has /dev/infiniband/{nodes[number]} open"]


@pytest.mark.parametrize("folder", ["vdpa0", "mlx5_core.sf.4/vdpa0"])
def test_an_open_vdpa_node_is_use(kernel: FakeKernel, folder: str) -> None:
    vf = vf_of(kernel)
    a_device(kernel, vf, f"{folder}/vhost-vdpa-0", "vhost-vdpa-0")
    assert users(kernel, vf) == []
    opened(kernel, "vhost-vdpa-0")
    assert users(kernel, vf) == ["process 4242 (python3) has /dev/vhost-vdpa-0 open"]
    with pytest.raises(FunctionInUseError, match=r"vhost-vdpa-0 open"), held(kernel.machine().sysfs, [vf]):
        pass


@pytest.mark.parametrize(("folder", "node"), [("ptp/ptp0", "ptp0"), ("i2c-7/i2c-dev/i2c-7", "i2c-7")])
def test_an_open_clock_or_sensor_is_no_use(kernel: FakeKernel, folder: str, node: str) -> None:
    vf = vf_of(kernel)
    a_device(kernel, vf, folder, node)
    opened(kernel, node)
    assert users(kernel, vf) == []


def test_the_rdma_node_of_another_function_is_no_use(kernel: FakeKernel) -> None:
    (node, *_) = FakeRdma(kernel).of_card(PF, "mlx5_0")
    opened(kernel, f"infiniband/{node}")
    assert users(kernel, vf_of(kernel)) == []
