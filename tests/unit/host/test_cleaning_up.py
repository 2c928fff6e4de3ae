"""What an uninstallation removes from a node, and what it leaves: the journal of functions that are not given back."""

from pathlib import Path

import pytest
from inventories import a_pf

from virtfn_host.linux.act.journal import Journal
from virtfn_host.linux.act.machine import only_writer
from virtfn_host.linux.act.unit import ARCHIVE, UNIT, BootUnit
from virtfn_host.linux.errors import AnotherWriterError
from virtfn_host.linux.files import write_atomically
from virtfn_host.process.clean_up import FOLDERS, SOCKETS, STATE, clean

PF = a_pf(0, vfs=2, driver="igbvf")
BOOT, ANOTHER_BOOT = "3f0e7a35-58ac-4b09-8ac6-6a1b4a7e7b8a", "9c1f6d2e-0000-4b09-8ac6-6a1b4a7e7b8a"
FILES = (
    "var/lib/virtfn/config.json",
    "var/lib/virtfn/tries.json",
    "var/lib/virtfn-grants/grants.json",
    "var/lib/virtfn-grants/grants.json.lock",
    "var/lib/virtfn-grants/ledger.json.lock",
    "run/virtfn/pools.json",
    "run/virtfn-ledger/ledger.json",
    "run/virtfn-ledger/registrations.json",
    "var/lib/kubelet/device-plugins/virtfn.dev_fast.sock",
)
OTHERS = (
    "var/lib/kubelet/device-plugins/kubelet.sock",
    "var/lib/kubelet/device-plugins/other.sock",
    "etc/systemd/system/sshd.service",
)
JOURNAL = str(STATE / "journal.json")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "host"
    for folder in (*FOLDERS, SOCKETS):
        (root / folder).mkdir(parents=True)
    (root / "etc/systemd/system").mkdir(parents=True)
    for name in (*FILES, *OTHERS):
        (root / name).write_text("{}")
    return root


def journal(root: Path, boot: str = BOOT) -> Journal:
    return Journal(root / JOURNAL, lambda: boot)


def touched(root: Path) -> Journal:
    """The journal of a node with one PF that was touched in this boot."""
    found = journal(root)
    found.remember(PF)
    return found


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_symlink() or not path.is_dir()}


def test_nothing_of_virtfn_is_left_and_nothing_else_is_touched(root: Path) -> None:
    clean(root, journal(root))
    assert files(root) == set(OTHERS)
    clean(root, journal(root))
    assert files(root) == set(OTHERS)


def test_a_journal_of_what_is_given_back_goes(root: Path) -> None:
    found = touched(root)
    found._write(())
    assert found.path.exists()
    clean(root, found)
    assert files(root) == set(OTHERS)


def test_the_journal_of_what_is_not_given_back_stays_and_is_told(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = touched(root)
    before = (root / JOURNAL).read_text()
    clean(root, found)
    assert files(root) == {*OTHERS, JOURNAL}
    assert (root / JOURNAL).read_text() == before
    assert f"{PF.address} is not given back" in caplog.text


def test_a_journal_of_an_earlier_boot_has_nothing_to_give_back(root: Path) -> None:
    touched(root)
    clean(root, journal(root, ANOTHER_BOOT))
    assert files(root) == set(OTHERS)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"originals": 1}'])
def test_a_journal_that_cannot_be_read_stays(root: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (root / JOURNAL).write_text(text)
    clean(root, journal(root))
    assert files(root) == {*OTHERS, JOURNAL}
    assert "journal.json stays" in caplog.text


def test_while_the_host_process_may_write_nothing_is_removed(root: Path) -> None:
    before = files(root)
    with only_writer(root / STATE), pytest.raises(AnotherWriterError):
        clean(root, journal(root), patience=0.6)
    assert files(root) == before


def test_the_boot_unit_goes_with_the_archive_and_other_units_stay(root: Path) -> None:
    unit = BootUnit(root=root)
    unit.archive.parent.mkdir()
    unit.install(b"PK", f"[Service]\nExecStart=/bin/true\n# {UNIT}\n", "/usr/bin/python3")
    assert any(ARCHIVE in name for name in files(root))
    clean(root, journal(root))
    assert files(root) == set(OTHERS)


def test_a_file_that_was_half_written_goes_too(root: Path) -> None:
    write_atomically(root / STATE / "tries.json", "{}", 0o600)
    (root / STATE / ".tries.json.abc123").write_text("{")
    clean(root, journal(root))
    assert files(root) == set(OTHERS)
