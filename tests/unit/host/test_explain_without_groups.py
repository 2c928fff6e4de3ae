"""On a kernel without vfio groups, `virtfn explain` does not say that the in-use lock needs a group's node."""

from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.cli.verbs import run
from virtfn_host.core.values.address import PciAddress

PF, VF = PciAddress(0, 1, 0, 0), PciAddress(0, 1, 0x10, 0)

LOCK = "the in-use lock cannot be taken from here"


def a_kernel(tmp_path: Path, **kinds: bool) -> FakeKernel:
    """A machine with one VF on vfio-pci."""
    kernel = FakeKernel(tmp_path / "root", pfs=1, **kinds)
    kernel.register("vfio-pci")
    kernel._set_num_vfs(PF, 1)
    kernel.write(kernel.devices / str(VF) / "driver_override", "vfio-pci")
    kernel.write(kernel.devices / str(VF) / "driver/unbind", str(VF))
    kernel.write(kernel.drivers / "vfio-pci/bind", str(VF))
    return kernel


def explained(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    run(["explain", str(VF), "--root", str(kernel.root)])
    return capsys.readouterr().out


def test_the_cdev_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert LOCK not in explained(a_kernel(tmp_path, groups=False, cdevs=True), capsys)


@pytest.mark.parametrize("cdevs", [False, True])
def test_where_there_are_groups_their_node_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cdevs: bool
) -> None:
    kernel = a_kernel(tmp_path, groups=True, cdevs=cdevs)
    assert LOCK not in explained(kernel, capsys)
    for node in (kernel.root / "dev/vfio").glob("[0-9]*"):
        node.unlink()
    assert LOCK in explained(kernel, capsys)
