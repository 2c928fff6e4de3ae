"""What no kernel writes about one function withdraws that one: the plugin and the others go on."""

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from plugin_node import FAST, Node

from virtfn_deviceplugin.grant.functions import shown
from virtfn_host.linux.errors import HostError
from virtfn_host.linux.read.sysfs import Sysfs


def linked(target: str) -> Callable[[Path], None]:
    def spoiled(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return spoiled


ODD = {
    "a group without a number": ("iommu_group", linked("../groups/words")),
    "a group of 5,000 digits": ("iommu_group", linked("../" + "9" * 250)),
    "a group that is no text": ("iommu_group", linked("../\udcff")),
    "a driver that is no text": ("driver", linked("../drivers/\udcff\udcfe")),
    "a group that leads to itself": ("iommu_group", linked("iommu_group")),
}


@pytest.mark.parametrize(("name", "spoil"), ODD.values(), ids=ODD)
async def test_one_odd_function_is_withdrawn_alone(name: str, spoil: Callable[[Path], None], node: Node) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    odd, *others = map(str, node.vfs())
    spoil(node.kernel.devices / odd / name)
    await node.kubelet.until(lambda: node.kubelet.health(FAST)[odd] == "Unhealthy")
    assert [node.kubelet.health(FAST)[vf] for vf in others] == ["Healthy"] * len(others)
    with pytest.raises(grpc.aio.AioRpcError):
        await node.kubelet.allocate(FAST, odd)
    await node.kubelet.allocate(FAST, others[0])


def test_a_node_of_which_nobody_can_tell_is_an_error_and_no_traceback(node: Node) -> None:
    vf = node.vfs()[0]
    sysfs = Sysfs(node.kernel.root / "sys", node.kernel.root / "dev", node.kernel.root / "proc")
    path = Path(sysfs.group_node(sysfs.group(vf) or 0))
    linked(path.name)(path)
    with pytest.raises(HostError, match="could not be read: Too many levels of symbolic links"):
        shown(sysfs, vf)


@pytest.mark.parametrize("name", ["vfio", "vfiox", "x", "vfio0 ", "vfio99999999999"])
def test_what_only_looks_like_a_cdev_is_given_to_nobody(name: str, node: Node) -> None:
    vf = node.vfs()[0]
    sysfs = Sysfs(node.kernel.root / "sys", node.kernel.root / "dev", node.kernel.root / "proc")
    (node.kernel.devices / str(vf) / "vfio-dev" / name).mkdir(parents=True)
    (sysfs.dev / "vfio/devices").mkdir(exist_ok=True)
    (sysfs.dev / "vfio/devices" / name).write_text("")
    assert shown(sysfs, vf).cdev is None
