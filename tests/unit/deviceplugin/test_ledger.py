"""The ledger: what cannot be read stops no service, and what nobody knows counts as handed out."""

import os
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from documents import sealed
from plugin_node import BOOT, FAST, Node

from virtfn_deviceplugin.ledger import COUNTS_SECONDS, LedgerFile
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, Ledger, PoolDevice
from virtfn_host.linux import poolfile

VFS = tuple(PciAddress(0, 1, 0x10, number) for number in range(3))
POOL = DevicePool(
    resource_name=FAST,
    devices=tuple(PoolDevice(address=vf, driver="vfio-pci", numa_node=None, healthy=True, reason=None) for vf in VFS),
)


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 30)


BREAK: dict[str, Callable[[Path], object]] = {
    "half a ledger": lambda path: path.write_text('{"version":2,"kind":"Ledger","va'),
    "empty": lambda path: path.write_text(""),
    "binary": lambda path: path.write_bytes(b"\xff\0" * 50),
    "deep": lambda path: path.write_text("[" * 100_000),
    "of a version to come": lambda path: path.write_text(sealed(Ledger(boot_id=BOOT, allocations=()), needs=["until"])),
    "a fifo": lambda path: os.mkfifo(path),
    "a link": lambda path: path.symlink_to("/etc/passwd"),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a GiB": lambda path: sparse(path),
}


class Clock:
    """The time since boot, which nobody sets back."""

    def __init__(self) -> None:
        self.time = 1000.0

    def go_on(self, seconds: float) -> None:
        self.time += seconds


def ledger_of(path: Path, clock: Clock) -> LedgerFile:
    return LedgerFile(path, now=lambda: clock.time)


def noted(path: Path) -> list[PciAddress]:
    found = poolfile.read_ledger(path)
    return [] if found is None else sorted(entry.address for entry in found.allocations)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.json"


@pytest.mark.parametrize("break_", BREAK.values(), ids=BREAK)
def test_after_a_lost_ledger_all_on_offer_counts_as_handed_out(break_: Callable[[Path], object], path: Path) -> None:
    break_(path)
    ledger = ledger_of(path, Clock())
    ledger.load(BOOT)
    ledger.note(BOOT, FAST, VFS[:1], [POOL])
    assert noted(path) == sorted([VFS[0], *VFS])


def test_a_lost_ledger_stays_as_long_as_it_may_count_and_is_mended_then(path: Path) -> None:
    path.write_text("half a led")
    clock = Clock()
    ledger = ledger_of(path, clock)
    ledger.load(BOOT)
    clock.go_on(COUNTS_SECONDS - 1)
    ledger.look_after(BOOT)
    assert path.read_text() == "half a led"
    clock.go_on(2)
    ledger.look_after(BOOT)
    assert noted(path) == []
    ledger.note(BOOT, FAST, VFS[:1], [POOL])
    assert noted(path) == [VFS[0]]


@pytest.mark.parametrize("break_", [*BREAK.values(), lambda _: None], ids=[*BREAK, "gone"])
def test_what_somebody_does_to_the_file_of_a_living_plugin_is_mended(
    break_: Callable[[Path], object], path: Path
) -> None:
    ledger = ledger_of(path, Clock())
    ledger.load(BOOT)
    ledger.note(BOOT, FAST, VFS[:2], [POOL])
    path.unlink()
    break_(path)
    ledger.look_after(BOOT)
    assert noted(path) == list(VFS[:2])


def test_a_file_that_nobody_changed_is_not_written_again(path: Path) -> None:
    ledger = ledger_of(path, Clock())
    ledger.load(BOOT)
    ledger.look_after(BOOT)
    assert not path.exists()
    ledger.note(BOOT, FAST, VFS[:2], [POOL])
    before = path.stat()
    ledger.look_after(BOOT)
    assert path.stat() == before


def test_one_that_cannot_be_mended_is_said_once_and_hinders_only_handing_out(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.mkdir()
    ledger = ledger_of(path, Clock())
    ledger.load(BOOT)
    clock = Clock()
    mended = ledger_of(path, clock)
    mended.load(BOOT)
    clock.go_on(COUNTS_SECONDS)
    for _ in range(3):
        mended.look_after(BOOT)
    assert caplog.text.count("nothing is handed out until it is") == 1
    with pytest.raises(poolfile.PoolFileError, match="cannot be written"):
        mended.note(BOOT, FAST, VFS[:1], [POOL])
    path.rmdir()
    mended.look_after(BOOT)
    mended.note(BOOT, FAST, VFS[:1], [POOL])
    assert noted(path) == [VFS[0]]


async def test_a_ledger_that_breaks_stops_no_service(node: Node) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    node.ledger.write_text("half a led")
    vf = node.vfs()[0]
    await node.kubelet.allocate(FAST, str(vf))
    assert noted(node.ledger) == [vf]
    await node.all_healthy()


async def test_what_cannot_be_noted_is_refused_and_the_rest_goes_on(node: Node) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    node.ledger.mkdir()
    with pytest.raises(grpc.aio.AioRpcError, match="cannot be written"):
        await node.kubelet.allocate(FAST, str(node.vfs()[0]))
    node.ledger.rmdir()
    await node.kubelet.allocate(FAST, str(node.vfs()[0]))
    await node.all_healthy()
