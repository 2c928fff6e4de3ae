"""Originals are of one boot and one card: what an earlier boot noted is not given back. Claims outlive boots."""

from dataclasses import replace
from pathlib import Path

import pytest
from inventories import a_pf, a_policy, an_inventory

from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.codec import encode
from virtfn_host.core.values.desired import NodeConfig
from virtfn_host.core.values.identity import Claim, Identity
from virtfn_host.linux import documents
from virtfn_host.linux.act.journal import MOST_CLAIMS, Journal, _Entries, original_of
from virtfn_host.linux.errors import JournalUnreadableError, StaleSnapshotError
from virtfn_host.linux.files import write_atomically
from virtfn_host.linux.read.sysfs import UNKNOWN

PF, SECOND = a_pf(0), a_pf(1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/journal.json"


def in_boot(path: Path, boot_id: str) -> Journal:
    return Journal(path, lambda: boot_id)


def claims(*pfs: int) -> tuple[Claim, ...]:
    machine = an_inventory(*(a_pf(number) for number in pfs))
    notes = resolve(NodeConfig(policies=(a_policy(),)), machine, (), ()).desired.notes
    return tuple(claim for note in notes for claim in note.claims)


def test_an_entry_has_the_boot_of_the_first_touch(path: Path) -> None:
    in_boot(path, "b1").remember(PF)
    assert [entry.boot_id for entry in in_boot(path, "b1").originals()] == ["b1"]


def test_an_entry_of_an_earlier_boot_is_not_read(path: Path) -> None:
    in_boot(path, "b1").remember(PF)
    later = in_boot(path, "b2")
    assert later.originals() == ()
    assert later.entry(PF.card) is None


def test_the_first_touch_of_another_boot_notes_how_the_pf_is_then(path: Path) -> None:
    in_boot(path, "b1").remember(PF)
    later = in_boot(path, "b2")
    later.remember(a_pf(0, 4))
    assert [(entry.num_vfs, entry.boot_id) for entry in later.originals()] == [(4, "b2")]


def test_the_next_write_drops_what_an_earlier_boot_noted(path: Path) -> None:
    in_boot(path, "b1").remember(PF)
    in_boot(path, "b2").remember(SECOND)
    assert [entry.address for entry in in_boot(path, "b1").originals()] == []
    assert "b1" not in path.read_text()


def test_where_boots_are_not_told_apart_every_entry_counts(path: Path) -> None:
    in_boot(path, "b1").remember(PF)
    assert [entry.address for entry in Journal(path).originals()] == [PF.address]
    Journal(path).remember(SECOND)
    assert [entry.boot_id for entry in Journal(path).originals()] == ["b1", ""]


def test_where_the_boot_cannot_be_read_no_entry_is_taken_for_one_of_this_boot(path: Path) -> None:
    in_boot(path, "b1").remember(PF)
    with pytest.raises(JournalUnreadableError, match="boot_id"):
        in_boot(path, UNKNOWN).originals()
    assert [entry.boot_id for entry in in_boot(path, "b1").originals()] == ["b1"]


@pytest.mark.parametrize("earlier", [False, True])
def test_where_the_boot_cannot_be_read_nothing_is_noted_that_would_outlive_it(path: Path, earlier: bool) -> None:
    if earlier:
        in_boot(path, "b1").remember(PF)
    with pytest.raises(JournalUnreadableError, match="nothing is touched"):
        in_boot(path, UNKNOWN).remember(SECOND)
    assert [entry.address for entry in Journal(path).originals()] == [PF.address] * earlier


def test_an_entry_of_an_earlier_version_counts_as_of_this_boot_and_gets_it_with_the_next_write(path: Path) -> None:
    path.parent.mkdir(parents=True)
    write_atomically(path, documents.text_of(_Entries(originals=(original_of(PF),))), 0o600)
    journal = in_boot(path, "b1")
    assert [entry.address for entry in journal.originals()] == [PF.address]
    journal.remember(SECOND)
    assert {entry.boot_id for entry in journal.originals()} == {"b1"}


def test_another_card_at_the_address_gets_an_entry_of_its_own(path: Path) -> None:
    journal = in_boot(path, "b1")
    journal.remember(replace(PF, identity=Identity(serial="52-54-00-ff-ff-00-00-01")))
    other = replace(a_pf(0, 2), identity=Identity(serial="52-54-00-ff-ff-00-00-02"))
    assert journal.entry(other.card) is None
    journal.remember(other)
    assert [entry.num_vfs for entry in journal.originals()] == [2]


def test_the_entry_of_a_card_that_another_replaced_is_forgotten_and_no_other(path: Path) -> None:
    journal = in_boot(path, "b1")
    journal.remember(replace(PF, identity=Identity(serial="52-54-00-ff-ff-00-00-01")))
    for same in (PF, replace(PF, vendor=""), replace(PF, identity=Identity(serial="52-54-00-ff-ff-00-00-01"))):
        with pytest.raises(StaleSnapshotError, match="may be the card that it was"):
            journal.forget(same, another=True)
    journal.forget(replace(a_pf(0, 2), identity=Identity(serial="52-54-00-ff-ff-00-00-02")), another=True)
    assert journal.originals() == ()


def test_a_card_that_shows_less_than_before_is_the_same(path: Path) -> None:
    journal = in_boot(path, "b1")
    journal.remember(replace(PF, identity=Identity(mac="52:54:00:00:00:01", slot="3")))
    assert journal.entry(PF.card) is not None
    journal.forget(PF)
    assert journal.originals() == ()


def test_claims_outlive_a_boot(path: Path) -> None:
    (claim,) = claims(0)
    in_boot(path, "b1").note_claims(PF.address, (claim,))
    later = in_boot(path, "b2")
    assert later.claims() == (claim,)
    later.remember(PF)
    later.forget(PF)
    assert later.claims() == (claim,)


def test_the_claims_of_a_function_replace_those_that_were_noted(path: Path) -> None:
    first, second = claims(0, 1)
    journal = in_boot(path, "b1")
    journal.note_claims(SECOND.address, (second,))
    journal.note_claims(PF.address, (first,))
    journal.note_claims(PF.address, (replace(first, generation=9),))
    assert [claim.generation for claim in journal.claims()] == [9, 1]
    journal.note_claims(PF.address, ())
    assert journal.claims() == (second,)


def test_a_claim_on_another_function_is_refused(path: Path) -> None:
    with pytest.raises(StaleSnapshotError, match=r"0000:02:00\.0: a claim on another function"):
        in_boot(path, "b1").note_claims(SECOND.address, claims(0))


def test_more_claims_than_one_journal_may_have_are_refused(path: Path) -> None:
    (claim,) = claims(0)
    journal = in_boot(path, "b1")
    many = tuple(
        replace(claim, uid=str(n), seen=replace(claim.seen, address=a_pf(n % 200).address)) for n in range(MOST_CLAIMS)
    )
    journal._write((), many)
    with pytest.raises(StaleSnapshotError, match=f"more than {MOST_CLAIMS} claims"):
        journal.note_claims(a_pf(201).address, (replace(claim, seen=replace(claim.seen, address=a_pf(201).address)),))
    journal.note_claims(PF.address, ())  # to end claims is always possible


def test_a_journal_without_claims_is_written_as_before() -> None:
    assert encode(_Entries(originals=())) == {"originals": []}
