"""CDI specs and device-info files of before, in a plugin whose chart value for them is switched off, and on again."""

from dataclasses import replace

import grpc
import pytest
from plugin_node import FAST, Node

from virtfn_deviceplugin import ledger as ledger_module
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.extras import Cdi, Extras

EXTRAS = [Extras(), Extras(tun=True)]
"""What the policy grants after it has dropped CDI: a pool that asks for it is not served without a folder."""


@pytest.fixture
async def held(node: Node) -> PciAddress:
    """A function that a container was given by CDI. Then the plugin was ended, and the policy dropped CDI."""
    node.publish(replace(node.pool(), extras=Extras(cdi=Cdi())))
    await node.all_healthy()
    await node.kubelet.allocate(FAST, str(node.vfs()[1]))
    await node.end_plugin()
    node.publish(node.pool())
    return node.vfs()[1]


def files(node: Node) -> int:
    return sum(1 for folder in (node.device_infos, node.specs) for _ in folder.iterdir())


async def refusal(node: Node, vf: PciAddress) -> str:
    try:
        await node.kubelet.pre_start(FAST, str(vf))
    except grpc.aio.AioRpcError as error:
        return error.details() or "no details"
    return ""


@pytest.mark.parametrize("extras", EXTRAS)
async def test_a_container_of_this_boot_starts_again_because_its_specs_are_where_they_were(
    node: Node, held: PciAddress, extras: Extras
) -> None:
    node.publish(replace(node.pool(), extras=extras))
    async with node.plugin(cdi=None):
        await node.all_healthy()
        assert await refusal(node, held) == ""
    assert files(node) == 3


@pytest.mark.parametrize("extras", EXTRAS)
async def test_a_container_of_an_earlier_boot_is_refused_and_told_what_helps(
    node: Node, held: PciAddress, extras: Extras
) -> None:
    for path in (node.ledger, *node.specs.iterdir()):
        path.unlink()  # they lie in a file system that a reboot empties
    (node.kernel.root / "proc/sys/kernel/random/boot_id").write_text("0b7f\n")
    node.publish(replace(node.pool(), extras=extras), boot_id="0b7f")
    async with node.plugin(cdi=None):
        await node.all_healthy()
        said = await refusal(node, held)
    assert said.startswith(f"{held}: a reboot took its CDI specs")
    assert "devicePlugin.cdi: true again, or delete the pod" in said


@pytest.mark.parametrize("given_again", [False, True])
@pytest.mark.parametrize("off", [("cdi",), ("device_info",), ("cdi", "device_info")])
async def test_files_stay_noted_without_a_folder_and_go_when_it_is_there_again(
    node: Node, held: PciAddress, off: tuple[str, ...], given_again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module.LedgerFile, "lately", lambda *_: None)  # no sign of use
    async with node.plugin(**dict.fromkeys(off)) as manager:
        await node.all_healthy()
        if given_again:
            await node.kubelet.allocate(FAST, str(held))
        node.publish(node.pool_without(held))
        await node.all_healthy(count=2)
        await node.kubelet.until(lambda: files(node) == 2 * ("cdi" in off) + ("device_info" in off))
        turned = manager.turned
        await node.kubelet.until(lambda: manager.turned > turned + 0.2)
    async with node.plugin():
        await node.kubelet.until(lambda: files(node) == 0)
