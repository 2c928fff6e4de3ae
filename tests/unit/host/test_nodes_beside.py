"""The look at a machine tells which device nodes it has for containers beside functions."""

from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.look.lacks import nodes_beside


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        ([], ()),
        (["vhost-net"], ("/dev/vhost-net",)),
        (["net/tun"], ("/dev/net/tun",)),
        (["vhost-net", "net/tun", "iommu"], ("/dev/vhost-net", "/dev/net/tun", "/dev/iommu")),
    ],
)
def test_the_nodes_that_are_there(nodes: list[str], found: tuple[str, ...], tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path / "root")
    for name in nodes:
        path = kernel.root / "dev" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert nodes_beside(kernel.machine().sysfs) == found


@pytest.mark.parametrize("name", ["vhost-net", "iommu"])
def test_a_folder_in_a_nodes_place_is_none(name: str, tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path / "root")
    (kernel.root / "dev" / name).mkdir()
    assert nodes_beside(kernel.machine().sysfs) == ()


def test_a_look_says_so(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path / "root")
    assert read_inventory(kernel.machine().sysfs).nodes_beside == ()
    (kernel.root / "dev/vhost-net").touch()
    assert read_inventory(kernel.machine().sysfs).nodes_beside == ("/dev/vhost-net",)
