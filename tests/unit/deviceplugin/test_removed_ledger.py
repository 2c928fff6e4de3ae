"""A ledger that is gone, or is none of this boot, may have had allocations that no file has now: that is told."""

from collections.abc import Callable
from pathlib import Path

import gone_files
import pytest
from plugin_node import BOOT, FAST, Node

from virtfn_deviceplugin.ledger import COUNTS_SECONDS, MANY_RECORDS, LedgerFile
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.appended import line_of
from virtfn_host.core.values.offered import Ledger
from virtfn_host.linux import poolfile

VFS = tuple(PciAddress(0, 1, 0x10, number) for number in range(3))


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def read(path: Path) -> tuple[list[PciAddress], float | None]:
    found = poolfile.read_ledger(path)
    assert found is not None
    assert found.boot_id == BOOT
    return sorted(entry.address for entry in found.allocations), found.lost_at


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.json"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(path: Path, clock: Clock) -> LedgerFile:
    """The ledger of a plugin that runs for a while and has handed out two functions."""
    made = LedgerFile(path, clock)
    made.load(BOOT)
    clock.time += COUNTS_SECONDS
    made.look_after(BOOT)
    made.note(BOOT, FAST, VFS[:2])
    assert read(path) == (list(VFS[:2]), None)
    clock.time += 1
    return made


GONE: dict[str, Callable[[Path], object]] = {
    **gone_files.GONE,
    "half a ledger": lambda path: path.write_text("half a led"),
    "of another boot": lambda path: poolfile.write_ledger(path, Ledger(boot_id="b0", allocations=())),
}


def is_asked_and_looks(ledger: LedgerFile) -> None:
    ledger.lately(VFS)
    ledger.look_after(BOOT)


THEN: dict[str, Callable[[LedgerFile], object]] = {
    "looks": lambda ledger: ledger.look_after(BOOT),
    "hands out": lambda ledger: ledger.note(BOOT, FAST, VFS[1:2]),
    "is asked and looks": is_asked_and_looks,
}


@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
@pytest.mark.parametrize("then", THEN.values(), ids=THEN)
def test_while_the_plugin_runs_what_it_knows_is_written_anew_with_the_loss(
    ledger: LedgerFile, path: Path, clock: Clock, gone: Callable[[Path], object], then: Callable[[LedgerFile], object]
) -> None:
    """Another plugin may have noted more, and an agent that looked meanwhile found nothing."""
    gone(path)
    then(ledger)
    assert read(path) == (list(VFS[:2]), clock.time)
    clock.time += COUNTS_SECONDS
    ledger.look_after(BOOT)
    assert read(path) == (list(VFS[:2]), None)


NONE = {name: GONE[name] for name in ("removed", "moved away", "of another boot")}


@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
def test_one_that_goes_while_it_is_written_anew_is_told_of_too(
    ledger: LedgerFile, path: Path, clock: Clock, gone: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(MANY_RECORDS):
        ledger.note(BOOT, FAST, VFS[:1])
    left = [1]

    def meanwhile(document: object) -> bytes:
        if left:
            left.clear()
            gone(path)
        return line_of(document)

    monkeypatch.setattr("virtfn_deviceplugin.ledger.line_of", meanwhile)
    ledger.look_after(BOOT)
    assert read(path) == (list(VFS[:2]), clock.time)


@pytest.mark.parametrize("gone", NONE.values(), ids=NONE)
@pytest.mark.usefixtures("ledger")
def test_a_plugin_that_starts_and_finds_none_of_this_boot_tells_of_it_at_once(
    path: Path, clock: Clock, gone: Callable[[Path], object]
) -> None:
    """It cannot tell the first start of a boot from a ledger that was removed after the plugin before was killed."""
    gone(path)
    LedgerFile(path, clock).load(BOOT)
    assert read(path) == ([], clock.time)


def test_the_first_start_of_a_boot_is_no_fault(path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    ledger = LedgerFile(path, clock)
    ledger.load(BOOT)
    ledger.look_after(BOOT)
    assert read(path) == ([], 1000.0)
    assert caplog.text == ""


@pytest.mark.parametrize("seconds", [0.0, COUNTS_SECONDS, 3600.0])
def test_a_ledger_that_is_there_is_taken_over_without_a_loss(
    ledger: LedgerFile, path: Path, clock: Clock, seconds: float
) -> None:
    clock.time += seconds
    ledger.look_after(BOOT)
    LedgerFile(path, clock).load(BOOT)
    assert read(path)[1] is None


@pytest.mark.parametrize("gone", [None, *NONE.values()], ids=["first start", *NONE])
def test_one_that_cannot_be_written_at_the_start_is_written_as_soon_as_that_is_possible(
    tmp_path: Path, clock: Clock, gone: Callable[[Path], object] | None
) -> None:
    """Until then an agent that has read one takes every function for used, and nothing may be handed out."""
    path = tmp_path / "folder/ledger.json"
    if gone is not None:
        LedgerFile(path, clock).note(BOOT, FAST, VFS[:1])
        gone(path)
    away = tmp_path / "away"
    if path.parent.exists():
        path.parent.rename(away)
    path.parent.write_text("")
    ledger = LedgerFile(path, clock, locks=tmp_path)
    ledger.load(BOOT)
    with pytest.raises(poolfile.PoolFileError):
        ledger.note(BOOT, FAST, VFS[:1])
    path.parent.unlink()
    ledger.look_after(BOOT)
    assert read(path) == ([], clock.time)
    ledger.note(BOOT, FAST, VFS[:1])
    assert read(path) == ([VFS[0]], clock.time)


async def test_a_plugin_that_ends_leaves_its_ledger_and_the_next_one_tells_of_no_loss(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it were removed, an agent could not tell that from a removal by another program."""
    node.publish(node.pool())
    await node.all_healthy()
    poolfile.write_ledger(node.ledger, Ledger(boot_id=BOOT, allocations=()))
    await node.end_plugin()
    assert node.manager.last
    before = poolfile.read_ledger(node.ledger)
    async with node.plugin() as new:
        await node.kubelet.until(lambda: new.ready)
        assert poolfile.read_ledger(node.ledger) == before
