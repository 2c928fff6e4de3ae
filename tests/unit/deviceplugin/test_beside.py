"""`grant.vhostNet`, `grant.tun` and `grant.iommufd`: the device nodes that a container gets beside the usual ones."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from plugin_node import FAST, Node, plugin_node

from virtfn_deviceplugin import manager as manager_module
from virtfn_deviceplugin.grant.granted import AllocateRefusedError
from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_host.core.values.extras import Extras


@pytest.fixture
async def with_cdevs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    """A node whose kernel has groups and cdevs."""
    monkeypatch.setattr(manager_module, "LOOK_EVERY", 0.02)
    async with plugin_node(tmp_path, cdevs=True) as made:
        yield made


async def served(node: Node, extras: Extras) -> str:
    node.publish(replace(node.pool(), extras=extras))
    await node.all_healthy()
    return str(node.vfs()[0])


VHOST, TUN = "/dev/vhost-net", "/dev/net/tun"


@pytest.mark.parametrize(
    ("extras", "given"),
    [
        (Extras(vhost_net=True), [VHOST]),
        (Extras(tun=True), [TUN]),
        (Extras(vhost_net=True, tun=True), [VHOST, TUN]),
        (Extras(), []),
    ],
)
async def test_a_container_gets_what_its_pool_grants(node: Node, extras: Extras, given: list[str]) -> None:
    vf = await served(node, extras)
    answer = await node.kubelet.allocate(FAST, vf)
    paths = [device.host_path for device in answer.devices]
    assert paths[0] == "/dev/vfio/vfio"
    assert paths[2:] == given
    assert [device.container_path for device in answer.devices][2:] == given


async def test_iommufd_gives_the_cdev_beside_the_group(with_cdevs: Node) -> None:
    vf = await served(with_cdevs, Extras(iommufd=True))
    paths = [device.host_path for device in (await with_cdevs.kubelet.allocate(FAST, vf)).devices]
    assert [path.rstrip("0123456789") for path in paths] == [
        "/dev/vfio/vfio",
        "/dev/vfio/",
        "/dev/iommu",
        "/dev/vfio/devices/vfio",
    ]
    await with_cdevs.kubelet.pre_start(FAST, vf)


async def test_without_it_the_group_alone_is_given(with_cdevs: Node) -> None:
    vf = await served(with_cdevs, Extras())
    assert len((await with_cdevs.kubelet.allocate(FAST, vf)).devices) == 2


async def test_a_container_starts_again_by_what_it_was_given_whatever_the_policy_says_now(with_cdevs: Node) -> None:
    vf = await served(with_cdevs, Extras(iommufd=True))
    await with_cdevs.kubelet.allocate(FAST, vf)
    await served(with_cdevs, Extras())
    await with_cdevs.kubelet.until(lambda: with_cdevs.manager.servers[FAST].pool.extras == Extras())
    await with_cdevs.kubelet.pre_start(FAST, vf)


def without_cdevs(node: Node) -> None:
    """Linux 6.2 to 6.5, or without VFIO_DEVICE_CDEV: iommufd is there, and functions have no cdevs."""
    (node.kernel.root / "sys/class/misc/iommu").mkdir(parents=True)


def without_iommufd(node: Node) -> None:
    """A kernel that has no iommufd is what the fake is without a change."""


@pytest.mark.parametrize("change", [without_cdevs, without_iommufd])
async def test_on_a_kernel_without_cdevs_functions_are_unhealthy_and_a_request_is_told_what_it_needs(
    node: Node, change: Callable[[Node], None]
) -> None:
    change(node)
    pool = replace(node.pool(), extras=Extras(iommufd=True))
    node.publish(pool)
    await node.kubelet.until(lambda: list(node.kubelet.health(FAST).values()) == ["Unhealthy"] * 3)
    with pytest.raises(AllocateRefusedError, match=r"has no cdev in /dev/vfio/devices, which grant\.iommufd asks"):
        node.manager._granting.allocate(PoolOffer.of(pool), [[str(node.vfs()[0])]])  # it was healthy a moment ago


async def test_one_function_whose_cdev_is_away_is_unhealthy_until_it_is_back(with_cdevs: Node) -> None:
    node = with_cdevs
    await served(node, Extras(iommufd=True))
    cdev = node.kernel.root / "dev/vfio/devices" / str(node.kernel.machine().sysfs.cdev(node.vfs()[1]))
    cdev.rename(cdev.with_name("away"))
    node.publish(replace(node.pool(), extras=Extras(iommufd=True, tun=True)))
    await node.kubelet.until(lambda: list(node.kubelet.health(FAST).values()) == ["Healthy", "Unhealthy", "Healthy"])
    cdev.with_name("away").rename(cdev)
    await served(node, Extras(iommufd=True))


async def test_without_the_grant_a_cdev_that_is_away_is_no_matter(with_cdevs: Node) -> None:
    for cdev in (with_cdevs.kernel.root / "dev/vfio/devices").iterdir():
        cdev.unlink()
    await served(with_cdevs, Extras())
