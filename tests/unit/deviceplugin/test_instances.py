"""Two processes write the same files: by turns, each with what the other noted, and none waits for ever."""

import contextlib
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from virtfn_deviceplugin import instances
from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_deviceplugin.instances import FileLock, Presence
from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.appended import line_of
from virtfn_host.core.values.offered import Grant
from virtfn_host.linux import poolfile
from virtfn_host.linux.poolfile import PoolFileError

EACH = 20


def vf(writer: int, number: int) -> PciAddress:
    return PciAddress(0, writer + 1, number, 0)


def grant(address: PciAddress) -> Grant:
    return Grant(address=address, resource_name="x/y", driver="vfio-pci", nodes=("/dev/vfio/1",), boot_id="b")


def note(folder: Path, writer: int, number: int = EACH) -> None:
    ledger, grants = LedgerFile(folder / "ledger.json"), GrantFile(folder / "grants.json")
    ledger.load("b")
    grants.load()
    for index in range(number):
        ledger.note("b", "x/y", [vf(writer, index)])
        grants.note([grant(vf(writer, index))])
        if index % 5 == writer:
            ledger.look_after("b")


def expect_all(folder: Path, writers: int) -> None:
    wanted = {vf(writer, index) for writer in range(writers) for index in range(EACH)}
    ledger, grants = poolfile.read_ledger(folder / "ledger.json"), poolfile.read_grants(folder / "grants.json")
    assert ledger is not None
    assert grants is not None
    assert {entry.address for entry in ledger.allocations} == wanted
    assert {one.address for one in grants.grants} == wanted


@pytest.mark.parametrize("writers", [1, 2, 4])
def test_processes_that_write_at_once_lose_nothing(tmp_path: Path, writers: int) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=note, args=(tmp_path, writer)) for writer in range(writers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    expect_all(tmp_path, writers)


def test_threads_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    threads = [threading.Thread(target=note, args=(tmp_path, writer)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect_all(tmp_path, 4)


@pytest.mark.parametrize("path", ["ledger.json", "grants.json"])
def test_what_was_noted_last_counts_for_both(tmp_path: Path, path: str) -> None:
    """Also after many turns, with looks between them."""
    ledgers = [LedgerFile(tmp_path / "ledger.json") for _ in range(2)]
    grants = [GrantFile(tmp_path / "grants.json") for _ in range(2)]
    for ledger, file in zip(ledgers, grants, strict=True):
        ledger.load("b")
        file.load()
    for turn in range(10):
        address = vf(turn % 2, turn)
        ledgers[turn % 2].note("b", "x/y", [address])
        grants[turn % 2].note([grant(address)])
        assert ledgers[1 - turn % 2].lately([address]) == address
        assert grants[1 - turn % 2].of(address) == grant(address)
        for ledger in ledgers:
            ledger.look_after("b")


def test_two_that_look_after_the_same_file_leave_it_alone(tmp_path: Path) -> None:
    """Otherwise each would write it for ever, because the other one did."""
    path = tmp_path / "ledger.json"
    first, second = LedgerFile(path), LedgerFile(path)
    first.load("b")
    first.note("b", "x/y", [vf(0, 0)])
    second.load("b")
    second.note("b", "x/y", [vf(1, 0)])
    first.look_after("b")
    before = path.stat()
    for _ in range(5):
        first.look_after("b")
        second.look_after("b")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("half a ledg")])
def test_a_file_that_another_program_spoils_is_written_anew_by_the_first_that_looks(
    tmp_path: Path, spoil: object, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ledger.json"
    first, second = LedgerFile(path), LedgerFile(path)
    for ledger, writer in ((first, 0), (second, 1)):
        ledger.load("b")
        ledger.note("b", "x/y", [vf(writer, 0)])
    first.look_after("b")
    assert callable(spoil)
    spoil(path)
    first.look_after("b")
    second.look_after("b")
    found = poolfile.read_ledger(path)
    assert found is not None
    assert {entry.address for entry in found.allocations} == {vf(0, 0), vf(1, 0)}
    assert caplog.text.count("was changed or removed by another program") == 1


MEANWHILE: dict[str, Callable[[LedgerFile], object]] = {
    "nothing": lambda ledger: None,
    "notes": lambda ledger: ledger.note("b", "x/y", [vf(2, 0)]),
    "is asked": lambda ledger: ledger.lately([vf(1, 0)]),
}
"""What the one that writes the file anew does after the other one has noted something."""


@pytest.mark.parametrize("then", list(MEANWHILE))
def test_what_the_other_notes_while_the_file_is_encoded_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    path = tmp_path / "ledger.json"
    first, second = LedgerFile(path), LedgerFile(path)
    for ledger in (first, second):
        ledger.load("b")
    first.note("b", "x/y", [vf(0, 0)])
    path.unlink()
    left = [1]

    def meanwhile(document: object) -> bytes:
        if left:
            left.clear()
            second.note("b", "x/y", [vf(1, 0)])
            MEANWHILE[then](first)
        return line_of(document)

    monkeypatch.setattr("virtfn_deviceplugin.ledger.line_of", meanwhile)
    first.look_after("b")
    found = poolfile.read_ledger(path)
    assert found is not None
    assert {entry.address for entry in found.allocations} >= {vf(0, 0), vf(1, 0)}
    assert first.lately([vf(1, 0)]) == vf(1, 0)


@contextlib.contextmanager
def standing_still(path: Path) -> Iterator[None]:
    with FileLock(path).held():
        yield


@pytest.mark.parametrize("kind", ["ledger", "grants"])
def test_one_that_stands_still_refuses_the_others_requests_and_names_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(instances, "LONGEST", 0.05)
    ledger, grants = LedgerFile(tmp_path / "ledger.json"), GrantFile(tmp_path / "grants.json")
    ledger.load("b")
    grants.load()
    lock = tmp_path / f"{kind}.json.lock"
    notes: dict[str, Callable[[], object]] = {
        "ledger": lambda: ledger.note("b", "x/y", [vf(0, 0)]),
        "grants": lambda: grants.note([grant(vf(0, 0))]),
    }
    with standing_still(lock), pytest.raises(PoolFileError, match=f"another process holds {lock}"):
        notes[kind]()
    notes[kind]()


def test_a_process_that_starts_meanwhile_takes_all_for_handed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances, "LONGEST", 0.05)
    ledger = LedgerFile(tmp_path / "ledger.json")
    with standing_still(tmp_path / "ledger.json.lock"):
        ledger.load("b")
    ledger.note("b", "x/y", [vf(0, 0)])
    found = poolfile.read_ledger(tmp_path / "ledger.json")
    assert found is not None
    assert found.lost_at is not None


@pytest.mark.parametrize("spoil", ["folder", "link", "no folder"])
def test_without_a_lock_file_it_is_as_with_one_process(tmp_path: Path, spoil: str) -> None:
    lock = FileLock(tmp_path / "there" / "x.lock")
    if spoil != "no folder":
        lock.path.parent.mkdir()
    if spoil == "folder":
        lock.path.mkdir()
    if spoil == "link":
        lock.path.symlink_to(tmp_path / "elsewhere")
    with lock.held():
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_lock_is_left_in_any_case(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "x.lock")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for error in (ValueError, OSError, KeyboardInterrupt):
        with contextlib.suppress(error), lock.held():
            raise error
    with lock.held():
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_last_one_is_the_one_that_ends_last(tmp_path: Path, number: int) -> None:
    all_ = [Presence(tmp_path) for _ in range(number)]
    for one in all_:
        one.begin()
    assert [one.end() for one in all_] == [False] * (number - 1) + [True]
    later = Presence(tmp_path)
    later.begin()
    assert later.end()


def test_one_without_a_folder_is_the_last_one(tmp_path: Path) -> None:
    one = Presence(tmp_path / "none")
    one.begin()
    assert one.end()
