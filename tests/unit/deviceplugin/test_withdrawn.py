"""Files about functions whose resource is withdrawn go, whatever driver the functions stay on."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from plugin_node import FAST, SLOW, Node

from virtfn_deviceplugin import ledger as ledger_module
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.extras import Cdi, Extras
from virtfn_host.core.values.offered import DevicePool

OWN, VFIO = "igbvf", "vfio-pci"


def pool(node: Node, driver: str, name: str = FAST, number: int = 0) -> DevicePool:
    """Offer three VFs on this driver, with a device-info file and CDI specs for each."""
    offered = node.pool(name, number)
    devices = tuple(replace(device, driver=driver) for device in offered.devices)
    return replace(offered, devices=devices, extras=Extras(tun=True, cdi=Cdi()))


async def given(node: Node, driver: str) -> PciAddress:
    """Serve the pool and give its first function to a pod, which has ended since."""
    for vf in node.vfs() if driver != VFIO else ():
        node.kernel.write(node.kernel.drivers / VFIO / "unbind", str(vf))
        node.kernel.write(node.kernel.devices / str(vf) / "driver_override", driver)
        node.kernel.write(node.kernel.drivers / driver / "bind", str(vf))
    node.publish(pool(node, driver))
    await node.all_healthy()
    await node.kubelet.allocate(FAST, str(node.vfs()[0]))
    assert len(files(node)) == 3
    return node.vfs()[0]


def files(node: Node) -> list[str]:
    return [path.name for folder in (node.device_infos, node.specs) if folder.exists() for path in folder.iterdir()]


def checkpoint(node: Node, *held: PciAddress) -> None:
    entries = [{"ResourceName": FAST, "DeviceIDs": {"-1": [str(vf)]}} for vf in held]
    text = json.dumps({"Data": {"PodDeviceEntries": entries or None}})
    (node.kubelet.folder / "kubelet_internal_checkpoint").write_text(text)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ledger's entries be no sign of use."""
    monkeypatch.setattr(ledger_module.LedgerFile, "lately", lambda *_: None)


async def while_it_runs(node: Node, *pools: DevicePool) -> None:
    node.publish(*pools)
    await node.kubelet.until(lambda: files(node) == [])


async def while_it_is_away(node: Node, *pools: DevicePool) -> None:
    await node.end_plugin()
    node.publish(*pools)
    async with node.plugin():
        await node.kubelet.until(lambda: files(node) == [])


@pytest.mark.parametrize("withdraw", [while_it_runs, while_it_is_away])
@pytest.mark.parametrize("rest", [False, True], ids=["the last pool", "another pool stays"])
@pytest.mark.parametrize("driver", [OWN, VFIO])
async def test_they_go_with_their_resource_though_the_function_stays_on_its_driver(
    node: Node, driver: str, rest: bool, withdraw: Callable[..., Awaitable[None]]
) -> None:
    await given(node, driver)
    await withdraw(node, *([pool(node, VFIO, SLOW, 1)] if rest else []))


@pytest.mark.parametrize("driver", [OWN, VFIO])
async def test_they_stay_while_a_pod_holds_the_function_and_go_after_it_without_another_change(
    node: Node, driver: str
) -> None:
    vf = await given(node, driver)
    before = files(node)
    checkpoint(node, vf)
    node.publish()
    await node.kubelet.until(lambda: FAST not in node.manager.servers)
    assert files(node) == before
    checkpoint(node)
    await node.kubelet.until(lambda: files(node) == [])


def is_missing(node: Node) -> None:
    node.pools.unlink()


def is_damaged(node: Node) -> None:
    node.pools.write_text("{")


def is_of_another_boot(node: Node) -> None:
    node.publish(boot_id="of-another")


@pytest.mark.parametrize("pool_file", [is_missing, is_damaged, is_of_another_boot])
@pytest.mark.parametrize("driver", [OWN, VFIO])
async def test_a_pool_file_that_cannot_be_read_withdraws_nothing(
    node: Node, driver: str, pool_file: Callable[[Node], None]
) -> None:
    await given(node, driver)
    before = files(node)
    await node.end_plugin()
    assert files(node) == before
    pool_file(node)
    async with node.plugin() as manager:
        turned = manager.turned
        await node.kubelet.until(lambda: manager.turned > turned + 1)
    assert files(node) == before


async def test_a_resource_that_is_published_and_not_served_is_not_withdrawn(node: Node) -> None:
    await given(node, OWN)
    before = files(node)
    await node.end_plugin()
    first = pool(node, OWN, "virtfn.dev/a")  # it is served, so the other with the same functions is refused
    node.publish(first, pool(node, OWN))
    async with node.plugin() as manager:
        await node.kubelet.until(lambda: [refused.resource_name for refused in manager.refused] == [FAST])
        await node.all_healthy("virtfn.dev/a")
    assert files(node) == before
