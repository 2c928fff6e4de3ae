"""The journal: written before the first touch, never replaced when it cannot be read, forgotten only when exact."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from inventories import a_pf, a_vf

from virtfn_host.linux.act.journal import Journal, original_of
from virtfn_host.linux.errors import JournalUnreadableError, StaleSnapshotError

PF = a_pf(0, vfs=2, driver="igbvf")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state/journal.json")


def test_nothing_was_touched_yet(journal: Journal) -> None:
    assert journal.originals() == ()
    assert not journal.path.parent.exists()


def test_the_first_look_is_kept(journal: Journal) -> None:
    journal.remember(PF)
    journal.remember(replace(PF, vfs=(), autoprobe=False))
    assert journal.originals() == (original_of(PF),)
    assert journal.path.stat().st_mode & 0o777 == 0o600


def test_a_pf_of_which_vfs_are_being_taken_away_is_not_noted(journal: Journal) -> None:
    with pytest.raises(StaleSnapshotError, match="shows only VF 1, so another program is removing its VFs"):
        journal.remember(replace(PF, vfs=PF.vfs[1:]))
    assert journal.originals() == ()


def test_another_card_in_the_same_place_is_another_original(journal: Journal) -> None:
    journal.remember(PF)
    other = replace(PF, device="1572", vfs=())
    journal.remember(other)
    assert journal.originals() == (original_of(other),)


def test_entries_are_by_address_and_forgotten_one_by_one(journal: Journal) -> None:
    second = a_pf(1, vfs=0)
    journal.remember(second)
    journal.remember(PF)
    assert [entry.address for entry in journal.originals()] == [PF.address, second.address]
    journal.forget(PF)
    journal.forget(PF)
    assert journal.originals() == (original_of(second),)


def test_what_is_not_as_it_was_is_not_forgotten(journal: Journal) -> None:
    journal.remember(PF)
    with pytest.raises(StaleSnapshotError, match="not as it was before the first touch"):
        journal.forget(replace(PF, vfs=(a_vf(0, 0, "vfio-pci"), *PF.vfs[1:])))
    assert journal.originals() == (original_of(PF),)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99, "kind": "_Entries", "value": {}}', "\x80"])
def test_an_unreadable_journal_is_named_and_kept(journal: Journal, text: str) -> None:
    journal.path.parent.mkdir()
    journal.path.write_bytes(text.encode("latin-1"))
    for use in (journal.originals, lambda: journal.remember(PF), lambda: journal.forget(PF)):
        with pytest.raises(JournalUnreadableError, match=str(journal.path)):
            use()
    assert journal.path.read_bytes() == text.encode("latin-1")


def test_a_journal_that_cannot_be_written_leaves_the_old_one(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.remember(PF)
    before = journal.path.read_bytes()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(JournalUnreadableError, match="No space left"):
        journal.remember(a_pf(1))
    assert journal.path.read_bytes() == before
    assert [path.name for path in journal.path.parent.iterdir()] == ["journal.json"]
