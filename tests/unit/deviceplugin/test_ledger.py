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
from virtfn_host.core.values.offered import Ledger
from virtfn_host.linux import poolfile

VFS = tuple(PciAddress(0, 1, 0x10, number) for number in range(3))


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


def lost_at(path: Path) -> float | None:
    found = poolfile.read_ledger(path)
    assert found is not None
    return found.lost_at


@pytest.mark.parametrize("break_", BREAK.values(), ids=BREAK)
def test_after_a_lost_ledger_all_on_offer_counts_as_handed_out(break_: Callable[[Path], object], path: Path) -> None:
    """The new ledger says so from the first moment: an agent that finds none takes nothing for handed out."""
    break_(path)
    ledger = ledger_of(path, Clock())
    ledger.load(BOOT)
    assert (noted(path), lost_at(path)) == ([], 1000.0)
    ledger.note(BOOT, FAST, VFS[:1])
    assert (noted(path), lost_at(path)) == ([VFS[0]], 1000.0)


@pytest.mark.parametrize("break_", BREAK.values(), ids=BREAK)
def test_a_lost_ledger_is_set_aside_and_said(
    break_: Callable[[Path], object], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    break_(path)
    kind, size = path.lstat().st_mode, path.lstat().st_size
    ledger_of(path, Clock()).load(BOOT)
    aside = path.with_name("ledger.json.unreadable").lstat()
    assert (aside.st_mode, aside.st_size) == (kind, size)
    assert "it is set aside as ledger.json.unreadable" in caplog.text


def test_what_was_lost_counts_for_a_minute_at_most_also_after_a_restart(path: Path) -> None:
    path.write_text("half a led")
    clock = Clock()
    ledger_of(path, clock).load(BOOT)
    clock.go_on(COUNTS_SECONDS - 1)
    ledger = ledger_of(path, clock)
    ledger.load(BOOT)
    ledger.look_after(BOOT)
    assert lost_at(path) == 1000.0
    clock.go_on(2)
    ledger.look_after(BOOT)
    assert lost_at(path) is None


def test_one_that_cannot_be_set_aside_stays_and_its_place_is_written_when_that_is_possible(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As long as it stays the agent cannot read it either, and takes every function for used."""
    path.write_text("half a led")

    def refused(self: Path, target: Path) -> Path:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refused)
    ledger = ledger_of(path, Clock())
    ledger.load(BOOT)
    assert path.read_text() == "half a led"
    assert "cannot be set aside: Permission denied" in caplog.text
    ledger.note(BOOT, FAST, VFS[:1])
    assert (noted(path), lost_at(path)) == ([VFS[0]], 1000.0)


@pytest.mark.parametrize("break_", [*BREAK.values(), lambda _: None], ids=[*BREAK, "gone"])
def test_what_somebody_does_to_the_file_of_a_living_plugin_is_mended(
    break_: Callable[[Path], object], path: Path
) -> None:
    ledger = ledger_of(path, Clock())
    ledger.load(BOOT)
    ledger.note(BOOT, FAST, VFS[:2])
    path.unlink()
    break_(path)
    ledger.look_after(BOOT)
    assert noted(path) == list(VFS[:2])


def test_a_file_that_nobody_changed_is_not_written_again(path: Path) -> None:
    ledger = ledger_of(path, Clock())
    ledger.load(BOOT)
    ledger.note(BOOT, FAST, VFS[:2])
    before = path.stat()
    ledger.look_after(BOOT)
    assert path.stat() == before


def test_one_that_cannot_be_mended_is_said_once_and_hinders_only_handing_out(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = ledger_of(path, Clock())
    ledger.load(BOOT)
    path.unlink()
    path.mkdir()
    for _ in range(3):
        ledger.look_after(BOOT)
    assert caplog.text.count("nothing is handed out until it is") == 1
    with pytest.raises(poolfile.PoolFileError, match="cannot be written"):
        ledger.note(BOOT, FAST, VFS[:1])
    path.rmdir()
    ledger.look_after(BOOT)
    ledger.note(BOOT, FAST, VFS[:1])
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
    node.ledger.unlink()
    node.ledger.mkdir()
    with pytest.raises(grpc.aio.AioRpcError, match="cannot be written"):
        await node.kubelet.allocate(FAST, str(node.vfs()[0]))
    node.ledger.rmdir()
    await node.kubelet.allocate(FAST, str(node.vfs()[0]))
    await node.all_healthy()
