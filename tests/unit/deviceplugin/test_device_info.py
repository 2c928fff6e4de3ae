"""Device-info files: written before Allocate answers, gone with the function, never instead of another program's."""

import errno
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from plugin_node import FAST, SLOW, Node

from virtfn_deviceplugin.grant import shared
from virtfn_deviceplugin.grant.device_info import device_info, is_about
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.extras import Extras
from virtfn_host.core.values.offered import DevicePool, PoolDevice
from virtfn_host.linux import files, poolfile

PF, VF, GPU = PciAddress(0, 1, 0, 0), PciAddress(0, 1, 0x10, 0), PciAddress(0, 0x65, 0, 0)
HOUR_LATER = 3600.0


@pytest.mark.parametrize(
    ("resource", "address", "pf", "vhost_net", "name", "text"),
    [
        (
            *("intel.com/sriov_dpdk", VF, PF, False, "intel.com-sriov_dpdk-0000:01:10.0-device.json"),
            '{"type":"pci","version":"1.1.0","pci":{"pci-address":"0000:01:10.0","pf-pci-address":"0000:01:00.0"}}',
        ),
        (
            *("virtfn.dev/gpu", GPU, None, False, "virtfn.dev-gpu-0000:65:00.0-device.json"),
            '{"type":"pci","version":"1.1.0","pci":{"pci-address":"0000:65:00.0"}}',
        ),
        (
            *("virtfn.dev/fast", VF, None, True, "virtfn.dev-fast-0000:01:10.0-device.json"),
            '{"type":"pci","version":"1.1.0","pci":{"pci-address":"0000:01:10.0","vhost-net":"/dev/vhost-net"}}',
        ),
    ],
)
def test_name_and_content_are_those_of_the_specification(
    resource: str, address: PciAddress, pf: PciAddress | None, vhost_net: bool, name: str, text: str
) -> None:
    device = PoolDevice(address=address, driver="vfio-pci", numa_node=None, healthy=True, reason=None, pf=pf)
    offered = DevicePool(resource_name=resource, devices=(device,), extras=Extras(vhost_net=vhost_net))
    file = device_info(offered, device)
    assert (file.name, file.text) == (name, text)
    assert is_about(file.text.encode(), address)


async def served(node: Node) -> list[PciAddress]:
    node.publish(node.pool())
    await node.all_healthy()
    return node.vfs()


def file_of(node: Node, vf: PciAddress, name: str = FAST) -> Path:
    return node.device_infos / f"{name.replace('/', '-')}-{vf}-device.json"


def about(file: Path) -> str:
    return str(json.loads(file.read_text())["pci"]["pci-address"])


async def test_each_function_of_a_request_has_its_file_when_the_answer_comes(node: Node) -> None:
    first, second, third = await served(node)
    await node.kubelet.allocate(FAST, str(first), str(third))
    assert [about(file_of(node, vf)) for vf in (first, third)] == [str(first), str(third)]
    assert not file_of(node, second).exists()
    assert file_of(node, first).stat().st_mode & 0o777 == 0o444


async def test_a_function_of_another_class_has_none(node: Node) -> None:
    first, *_ = await served(node)
    (node.kernel.devices / str(first) / "class").write_text("0x0b4000\n")  # QAT
    await node.kubelet.allocate(FAST, str(first))
    assert not node.device_infos.exists()


# --- at its end ------------------------------------------------------------------------------------------------------


def hour_later(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ledger's entries be old, so that they are no sign of use."""
    ledger = node.manager._ledger
    now = ledger._now()
    monkeypatch.setattr(ledger, "_now", lambda: now + HOUR_LATER)


def checkpoint(node: Node, *given: tuple[str, PciAddress]) -> None:
    entries = [{"ResourceName": name, "DeviceIDs": {"-1": [str(vf)]}} for name, vf in given]
    text = json.dumps({"Data": {"PodDeviceEntries": entries or None}})
    (node.kubelet.folder / "kubelet_internal_checkpoint").write_text(text)


async def test_it_goes_with_its_function(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, _ = await served(node)
    await node.kubelet.allocate(FAST, str(first), str(second))
    hour_later(node, monkeypatch)
    checkpoint(node, (FAST, second), (SLOW, first))
    node.publish(node.pool_without(first))
    await node.kubelet.until(lambda: len(node.kubelet.health(FAST)) == 2)
    await node.kubelet.until(lambda: not file_of(node, first).exists())
    assert file_of(node, second).exists()


async def test_it_goes_with_its_resource_once_the_function_left_its_driver(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = await served(node)
    await node.kubelet.allocate(FAST, str(first))
    hour_later(node, monkeypatch)
    node.remove_vfs()
    node.publish()
    await node.kubelet.until(lambda: not file_of(node, first).exists())


def opened(node: Node, vf: PciAddress) -> None:
    node.kernel.open_device(vf)


HELD: dict[str, Callable[[Node, PciAddress], None]] = {
    "a program has it open": opened,
    "the kubelet has noted it": lambda node, vf: checkpoint(node, (FAST, vf)),
    "the kubelet's notes cannot be read": lambda node, vf: (
        node.kubelet.folder / "kubelet_internal_checkpoint"
    ).mkdir(),
}


@pytest.mark.parametrize("hold", HELD.values(), ids=HELD)
async def test_it_stays_while_a_pod_may_hold_the_function(
    node: Node, hold: Callable[[Node, PciAddress], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = await served(node)
    await node.kubelet.allocate(FAST, str(first), str(second))
    hour_later(node, monkeypatch)
    hold(node, first)
    if hold is not HELD["the kubelet's notes cannot be read"]:
        node.publish(node.pool_without(second))
        await node.kubelet.until(lambda: not file_of(node, second).exists())
    node.publish(node.pool_without(first))
    await node.kubelet.until(lambda: first not in map(PciAddress.parse, node.kubelet.health(FAST)))
    node.publish(node.pool())
    await node.all_healthy()
    assert file_of(node, first).exists()


async def test_it_stays_while_the_function_was_handed_out_just_now(node: Node) -> None:
    first, *_ = await served(node)
    await node.kubelet.allocate(FAST, str(first))
    node.publish(node.pool_without(first))
    await node.kubelet.until(lambda: len(node.kubelet.health(FAST)) == 2)
    node.publish(node.pool())
    await node.all_healthy()
    assert file_of(node, first).exists()


async def test_it_stays_when_the_plugin_ends(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_ = await served(node)
    await node.kubelet.allocate(FAST, str(first))
    hour_later(node, monkeypatch)
    await node.end_plugin()
    assert file_of(node, first).exists()


async def test_it_is_there_again_after_a_reboot(node: Node) -> None:
    first, *_ = await served(node)
    await node.kubelet.allocate(FAST, str(first))
    await node.end_plugin()
    file_of(node, first).unlink()  # it lies in a file system that a reboot empties
    async with node.plugin():
        await node.all_healthy()
        await node.kubelet.until(lambda: file_of(node, first).exists())
    assert about(file_of(node, first)) == str(first)


async def test_a_function_in_another_pool_has_only_the_file_of_that(node: Node) -> None:
    first, *_ = await served(node)
    await node.kubelet.allocate(FAST, str(first))
    node.publish(node.pool(SLOW))
    await node.all_healthy(SLOW)
    await node.kubelet.allocate(SLOW, str(first))
    assert [path.name for path in node.device_infos.iterdir()] == [file_of(node, first, SLOW).name]


ONE_FILE = [("example.com/x-fast", "example.com-x/fast"), ("a-b/c", "a/b-c"), ("a/b-c-d", "a-b-c/d")]
"""Resource names whose files have one name: the specification writes `-` for `/`."""


@pytest.mark.parametrize(("before", "now"), [*ONE_FILE, *(pair[::-1] for pair in ONE_FILE)])
async def test_a_rename_that_keeps_the_name_of_the_file_keeps_the_file(node: Node, before: str, now: str) -> None:
    first, *_ = node.vfs()
    for name in (before, now, now, before):
        node.publish(node.pool(name))
        await node.all_healthy(name)
        await node.kubelet.allocate(name, str(first))
        assert about(file_of(node, first, name)) == str(first)


# --- another program's file, and a folder that cannot be written ---------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "pci", "version": "1.0.0", "pci": {"pci-address": "%s"}}\n',
        '{"pci":{"pci-address":"%s","rdma-device":"mlx5_3"},"type":"pci","version":"1.1.0"}',
        '{"type":"pci","pci":{"pci-address":"%s"},"more":[1,2]}',
    ],
)
async def test_a_foreign_file_that_says_the_same_is_left_and_told_of(
    node: Node, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, *_ = await served(node)
    node.device_infos.mkdir()
    file = file_of(node, first)
    file.write_text(text % str(first))
    with caplog.at_level(logging.WARNING):
        await node.kubelet.allocate(FAST, str(first))
        await node.kubelet.allocate(FAST, str(first))
    assert file.read_text() == text % str(first)
    assert caplog.text.count(f"{file} was written by another program; it is left as it is") == 1


def a_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


FOREIGN: dict[str, Callable[[Path], object]] = {
    "another function": lambda path: path.write_text('{"type":"pci","pci":{"pci-address":"0000:09:10.0"}}'),
    "another type": lambda path: path.write_text('{"type":"memif","memif":{"path":"/x"}}'),
    "not JSON": lambda path: path.write_text("hello"),
    "no object": lambda path: path.write_text("[]"),
    "too long": lambda path: path.write_text(" " * 100_000),
    "a link": a_link,
    "a folder": lambda path: path.mkdir(),
    "a fifo": lambda path: os.mkfifo(path),
}


def identity(file: Path) -> tuple[int, ...]:
    found = os.lstat(file)
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
async def test_any_other_foreign_file_is_left_and_the_request_refused(
    node: Node, make: Callable[[Path], object]
) -> None:
    first, second, _ = await served(node)
    node.device_infos.mkdir()
    file = file_of(node, second)
    make(file)
    before = identity(file)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await node.kubelet.allocate(FAST, str(first), str(second))
    assert (refused.value.details() or "").startswith(f"{second}: {file}")
    assert identity(file) == before
    assert not file_of(node, first).exists()
    ledger = poolfile.read_ledger(node.ledger)
    assert ledger is not None
    assert ledger.allocations == ()
    assert poolfile.read_grants(node.grants) is None


FAILURES = [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT]


@pytest.mark.parametrize("number", FAILURES, ids=lambda number: errno.errorcode[number])
async def test_what_cannot_be_written_is_not_given_and_the_pod_is_told_why(
    node: Node, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = await served(node)
    await node.kubelet.allocate(FAST, str(third))
    whole = files.write_atomically

    def full(path: Path, text: str | bytes, mode: int) -> None:
        if path == file_of(node, second):
            raise OSError(number, os.strerror(number))
        whole(path, text, mode)

    monkeypatch.setattr(shared, "write_atomically", full)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await node.kubelet.allocate(FAST, str(first), str(second))
    said = refused.value.details() or ""
    assert said == f"{second}: {file_of(node, second)} cannot be written: {os.strerror(number)}; repair its folder"
    assert [path.name for path in node.device_infos.iterdir()] == [file_of(node, third).name]
    ledger, grants = poolfile.read_ledger(node.ledger), poolfile.read_grants(node.grants)
    assert ledger is not None
    assert grants is not None
    assert [entry.address for entry in ledger.allocations] == [third]
    assert [grant.address for grant in grants.grants] == [third]


async def test_a_folder_that_does_not_sync_is_no_reason_to_refuse_because_a_reboot_empties_it(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = await served(node)
    whole = files.write_atomically

    def unsynced(path: Path, text: str | bytes, mode: int) -> None:
        whole(path, text, mode)
        raise files.NotSyncedError(errno.EIO, "its folder did not sync")

    monkeypatch.setattr(shared, "write_atomically", unsynced)
    await node.kubelet.allocate(FAST, str(first))
    assert about(file_of(node, first)) == str(first)


@pytest.mark.parametrize("file", ["ledger", "grants"])
async def test_it_is_taken_back_if_another_file_cannot_be_written(node: Node, file: str) -> None:
    first, *_ = await served(node)
    in_the_way: Path = getattr(node, file)
    in_the_way.unlink(missing_ok=True)
    in_the_way.mkdir()
    with pytest.raises(grpc.aio.AioRpcError, match="cannot be written"):
        await node.kubelet.allocate(FAST, str(first))
    assert list(node.device_infos.iterdir()) == []
