"""While nothing moves no function is looked at; whatever moves is noticed."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from plugin_node import FAST, Node

from virtfn_deviceplugin import manager as manager_module
from virtfn_deviceplugin.grant.functions import shown
from virtfn_deviceplugin.grant.shown import Shown
from virtfn_deviceplugin.watching import Watching
from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.read.sysfs import Sysfs


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[PciAddress]:
    """Every function that was looked at."""
    looked: list[PciAddress] = []

    def look(sysfs: Sysfs, address: PciAddress, *, both: bool = False) -> Shown:
        looked.append(address)
        return shown(sysfs, address, both=both)

    monkeypatch.setattr(manager_module, "shown", look)
    return looked


async def test_nothing_is_looked_at_twice_while_nothing_moves(
    node: Node, looks: list[PciAddress], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager_module, "WHOLE_LOOK", 1_000_000)
    node.publish(node.pool())
    await node.all_healthy()
    before = len(looks)
    await asyncio.sleep(0.5)  # ten checks
    assert len(looks) == before
    node.kernel.write(node.kernel.devices / str(node.vfs()[0]) / "driver/unbind", str(node.vfs()[0]))
    await node.kubelet.until(lambda: "Unhealthy" in node.kubelet.health(FAST).values())
    assert len(looks) == before + 3


async def test_what_no_listing_shows_is_found_by_the_next_whole_look(node: Node, looks: list[PciAddress]) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    group = node.kernel.devices / str(node.vfs()[0]) / "iommu_group"
    group.unlink()
    group.symlink_to("../groups/words")
    await node.kubelet.until(lambda: "Unhealthy" in node.kubelet.health(FAST).values())


async def test_a_function_that_was_odd_for_a_moment_is_healthy_again_soon(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no listing shows that it is, and long before the next whole look."""
    monkeypatch.setattr(manager_module, "WHOLE_LOOK", 1_000_000)
    group = node.kernel.devices / str(node.vfs()[0]) / "iommu_group"
    good = group.readlink()
    group.unlink()
    group.symlink_to("../groups/words")
    node.publish(node.pool())
    await node.kubelet.until(lambda: "Unhealthy" in node.kubelet.health(FAST).values())
    group.unlink()
    group.symlink_to(good)
    await node.all_healthy()


def unbound(node: Node, vf: PciAddress) -> None:
    node.kernel.write(node.kernel.devices / str(vf) / "driver/unbind", str(vf))


def without_its_node(node: Node, vf: PciAddress) -> None:
    (node.kernel.root / "dev/vfio" / node.kernel.node(vf)).unlink()


def without_the_container_node(node: Node, vf: PciAddress) -> None:
    (node.kernel.root / "dev/vfio/vfio").unlink()


def with_another_beside_it(node: Node, vf: PciAddress) -> None:
    (node.kernel.root / "dev/vfio/devices").mkdir()


@pytest.mark.parametrize(
    "move", [unbound, without_its_node, without_the_container_node, with_another_beside_it], ids=lambda f: f.__name__
)
async def test_what_moves_shows_in_a_listing(node: Node, move: Callable[[Node, PciAddress], None]) -> None:
    watching = Watching(Sysfs(node.kernel.root / "sys", node.kernel.root / "dev", node.kernel.root / "proc"))
    assert [watching.moved(["vfio-pci"]) for _ in range(3)] == [True, False, False]
    move(node, node.vfs()[0])
    assert [watching.moved(["vfio-pci"]) for _ in range(3)] == [True, False, False]
    assert watching.moved(["vfio-pci", "igbvf"])


def test_a_listing_that_does_not_read_counts_as_moved(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/vfio").write_text("no folder")
    watching = Watching(Sysfs(tmp_path / "sys", tmp_path / "dev", tmp_path / "proc"))
    assert [watching.moved(["vfio-pci"]) for _ in range(3)] == [True, True, True]
