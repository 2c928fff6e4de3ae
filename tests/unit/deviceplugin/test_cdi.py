"""CDI specs on the node: whole before Allocate answers, there at each start of a container, gone with the function."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from plugin_node import FAST, SLOW, Node, manager_of

from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_deviceplugin.grant.shared import SharedFileError
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.extras import Cdi, Extras
from virtfn_host.linux import files, poolfile

BY_CDI = Extras(cdi=Cdi(gid=107, mode="0660"))


async def served(node: Node, name: str = FAST, extras: Extras = BY_CDI) -> list[PciAddress]:
    node.publish(replace(node.pool(name), extras=extras))
    await node.all_healthy(name)
    await node.kubelet.until(lambda: node.manager.servers[name].pool.extras == extras)
    return node.vfs()


def names(node: Node) -> list[str]:
    return sorted(path.name for path in node.specs.iterdir()) if node.specs.exists() else []


def of(vf: PciAddress, *kinds: str) -> list[str]:
    return sorted(f"virtfn-{kind}-{str(vf).replace(':', '_')}.json" for kind in kinds)


PCI, OF_FAST, OF_SLOW = "virtfn.dev_pci", "virtfn.dev_fast", "virtfn.dev_slow"


def nodes(path: Path) -> list[str]:
    (device,) = json.loads(path.read_text())["devices"]
    return [node["hostPath"] for node in device["containerEdits"]["deviceNodes"]]


async def test_the_answer_names_functions_whose_specs_are_there(node: Node) -> None:
    first, *_ = await served(node)
    answer = await node.kubelet.allocate(FAST, str(first))
    assert [device.name for device in answer.cdi_devices] == [f"virtfn.dev/pci={first}"]
    assert dict(answer.annotations) == {"cdi.k8s.io/virtfn_virtfn.dev_fast": f"virtfn.dev/pci={first}"}
    assert list(answer.devices) == []
    assert names(node) == of(first, PCI, OF_FAST)
    assert {(node.specs / name).stat().st_mode & 0o777 for name in names(node)} == {0o644}


async def test_a_plugin_without_a_folder_for_specs_refuses_and_names_the_value(node: Node) -> None:
    first, *_ = await served(node)
    granter = manager_of(node.kernel, node.pools, node.ledger, node.kubelet.folder)._granting
    granter._specs._folder = None
    with pytest.raises(SharedFileError, match=r"set the chart's value devicePlugin\.cdi: true"):
        granter.allocate(PoolOffer.of(node.manager.servers[FAST].pool), [[str(first)]])
    ledger = poolfile.read_ledger(node.ledger)
    assert ledger is not None
    assert ledger.allocations == ()
    assert list(node.device_infos.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("which", [0, 1])
async def test_what_cannot_be_written_is_not_given_and_the_pod_is_told_why(
    node: Node, number: int, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = await served(node)
    whole, full = files.write_atomically, node.specs / of(first, OF_FAST, PCI)[which]

    def write(path: Path, text: str | bytes, mode: int) -> None:
        if path == full:
            raise OSError(number, os.strerror(number))
        whole(path, text, mode)

    monkeypatch.setattr("virtfn_deviceplugin.grant.shared.write_atomically", write)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await node.kubelet.allocate(FAST, str(first))
    said = refused.value.details() or ""
    assert said.startswith(f"{first}: {full} cannot be written: {os.strerror(number)}")
    assert (names(node), list(node.device_infos.iterdir())) == ([], [])
    assert poolfile.read_grants(node.grants) is None


async def test_specs_stay_when_the_plugin_ends(node: Node) -> None:
    first, *_ = await served(node)
    await node.kubelet.allocate(FAST, str(first))
    await node.end_plugin()
    assert names(node) == of(first, PCI, OF_FAST)


async def test_a_start_whose_specs_cannot_be_written_again_names_the_function(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = await served(node)
    await node.kubelet.allocate(FAST, str(first))
    (node.specs / of(first, PCI)[0]).unlink()

    def write(path: Path, text: str | bytes, mode: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("virtfn_deviceplugin.grant.shared.write_atomically", write)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await node.kubelet.pre_start(FAST, str(first))
    assert (refused.value.details() or "").startswith(f"{first}: {node.specs / of(first, PCI)[0]} cannot be written")


async def test_specs_are_there_again_after_a_reboot(node: Node) -> None:
    first, *_ = await served(node)
    await node.kubelet.allocate(FAST, str(first))
    await node.end_plugin()
    before = {name: (node.specs / name).read_text() for name in names(node)}
    for name in before:
        (node.specs / name).unlink()  # they lie in a file system that a reboot empties
    async with node.plugin():
        await node.all_healthy()
        await node.kubelet.until(lambda: len(names(node)) == 2)
    assert {name: (node.specs / name).read_text() for name in names(node)} == before


async def test_specs_are_there_before_each_start_of_a_container(node: Node) -> None:
    first, *_ = await served(node)
    await node.kubelet.allocate(FAST, str(first))
    for name in names(node):
        (node.specs / name).unlink()
    await node.kubelet.pre_start(FAST, str(first))
    assert names(node) == of(first, PCI, OF_FAST)


async def test_a_container_whose_nodes_moved_is_refused_as_with_device_nodes(node: Node) -> None:
    first, *_ = await served(node)
    await node.kubelet.allocate(FAST, str(first))
    before = nodes(node.specs / of(first, PCI)[0])
    await node.lose_vfs()
    node.kernel.groups.renumber()
    node.make_vfs((1, 0))
    await node.all_healthy()
    with pytest.raises(grpc.aio.AioRpcError, match="but it is behind"):
        await node.kubelet.pre_start(FAST, str(first))
    await node.kubelet.allocate(FAST, str(first))  # a new pod
    assert nodes(node.specs / of(first, PCI)[0]) != before
    await node.kubelet.pre_start(FAST, str(first))


async def test_specs_go_with_their_function(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, _ = await served(node)
    await node.kubelet.allocate(FAST, str(first), str(second))
    ledger = node.manager._ledger
    later = ledger._now() + 3600
    monkeypatch.setattr(ledger, "_now", lambda: later)
    node.publish(replace(node.pool_without(first), extras=BY_CDI))

    def with_specs() -> list[PciAddress]:
        grants = poolfile.read_grants(node.grants)
        assert grants is not None
        return [grant.address for grant in grants.grants if grant.specs]

    # The file goes first and its record after it: a plugin that dies between removes it again.
    await node.kubelet.until(lambda: with_specs() == [second])
    assert names(node) == of(second, PCI, OF_FAST)


async def test_a_function_in_another_pool_is_found_under_that_name_only(node: Node) -> None:
    first, *_ = await served(node)
    await node.kubelet.allocate(FAST, str(first))
    await served(node, SLOW)
    await node.kubelet.allocate(SLOW, str(first))
    assert names(node) == of(first, PCI, OF_SLOW)


async def test_a_plugin_without_a_folder_for_specs_offers_no_pool_by_cdi_and_says_so(node: Node) -> None:
    node.manager._grants.cdi = None
    node.publish(replace(node.pool(), extras=BY_CDI), node.pool(SLOW, 1))
    await node.all_healthy(SLOW)
    assert list(node.manager.servers) == [SLOW]
    assert "devicePlugin.cdi: true" in node.manager.told


async def test_specs_go_when_the_policy_no_longer_asks_for_cdi_and_a_new_container_gets_nodes(node: Node) -> None:
    first, *_ = await served(node)
    await node.kubelet.allocate(FAST, str(first))
    await served(node, extras=Extras())
    assert names(node) == of(first, PCI, OF_FAST)  # the container may start again
    await node.kubelet.pre_start(FAST, str(first))
    answer = await node.kubelet.allocate(FAST, str(first))
    assert (len(answer.devices), list(answer.cdi_devices), names(node)) == (2, [], [])
