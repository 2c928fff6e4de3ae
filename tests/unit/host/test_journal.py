"""The journal: written before the first touch, never replaced when it cannot be read, forgotten only when exact."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from inventories import NEW_LINK, a_linked_pf, a_pf, a_plain, a_vf

from virtfn_host.core.values.link import GROUPS
from virtfn_host.core.values.model import LinkState, Pf, Vf, VfLink
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


def test_the_number_of_vfs_is_untouched_until_it_is_noted_before_the_first_write(journal: Journal) -> None:
    assert journal.note_number(PF.card) is False  # nothing is noted of a card that was never touched
    journal.remember(PF)
    journal.remember(PF, whole=True)
    (entry,) = journal.originals()
    assert entry.number_untouched
    assert '"needs":["originals.numberUntouched"]' in journal.path.read_text()
    assert [journal.note_number(PF.card), journal.note_number(PF.card)] == [True, False]
    assert journal.originals() == (replace(entry, number_untouched=False),)
    assert "needs" not in journal.path.read_text()  # an earlier version does the same with it
    journal.drop_number(PF.card)
    assert journal.originals() == (entry,)


def test_a_function_without_vfs_has_no_number_to_be_noted(journal: Journal) -> None:
    journal.remember(a_plain(0), whole=True)
    assert "numberUntouched" not in journal.path.read_text()


@pytest.mark.parametrize(
    ("noted", "vfs", "forgotten"),
    [
        (False, PF.vfs, True),
        (False, PF.vfs[:1], True),
        (False, (), True),
        (False, (*PF.vfs, a_vf(0, 2, "igbvf")), True),
        (False, (*PF.vfs, a_vf(0, 2)), True),
        (False, (*PF.vfs, a_vf(0, 2, "vfio-pci", "vfio-pci")), False),
        (False, (*PF.vfs, a_vf(0, 2, None, "vfio-pci")), False),
        (False, (a_vf(0, 0, "vfio-pci", "vfio-pci"),), False),
        (True, PF.vfs, True),
        (True, PF.vfs[:1], False),
        (True, (*PF.vfs, a_vf(0, 2, "igbvf")), False),
    ],
)
def test_a_pf_is_forgotten_with_another_number_of_vfs_only_if_virtfn_set_none(
    journal: Journal, noted: bool, vfs: tuple[Vf, ...], forgotten: bool
) -> None:
    journal.remember(PF)
    if noted:
        journal.note_number(PF.card)
    if forgotten:
        journal.forget(replace(PF, vfs=vfs))
        assert journal.originals() == ()
        return
    with pytest.raises(StaleSnapshotError, match="not as it was before the first touch"):
        journal.forget(replace(PF, vfs=vfs))


def mtus(journal: Journal) -> list[int | None]:
    (entry,) = journal.originals()
    return [entry.mtu, *(vf.mtu for vf in entry.vfs)]


@pytest.mark.parametrize(
    ("index", "noted"), [(None, [1500, None, None]), (0, [None, 1500, None]), (1, [None, None, 1500]), (7, [None] * 3)]
)
def test_an_mtu_is_noted_once_before_it_is_set(journal: Journal, index: int | None, noted: list[int | None]) -> None:
    journal.note_mtu(PF.card, index, 1500)
    assert journal.originals() == ()  # nothing is noted of a card that was never touched
    journal.remember(PF)
    assert '"mtu"' not in journal.path.read_text()
    journal.note_mtu(PF.card, index, 1500)
    journal.note_mtu(PF.card, index, 9000)
    assert mtus(journal) == noted
    assert journal.note_mtu(PF.card, index, 1500) is False
    assert ('s.mtu"' in journal.path.read_text()) is (1500 in noted)


@pytest.mark.parametrize("index", [None, 0, 1])
def test_an_mtu_that_was_not_set_after_all_is_dropped_and_no_other(journal: Journal, index: int | None) -> None:
    journal.remember(PF)
    for other in (None, 0, 1):
        assert journal.note_mtu(PF.card, other, 1500)
    journal.drop_mtu(PF.card, index)
    assert mtus(journal) == [None if other == index else 1500 for other in (None, 0, 1)]


@pytest.mark.parametrize(
    ("pf", "first", "forgotten"),
    [(1500, 1500, True), (9000, 1500, False), (None, 1500, False), (1500, 9000, False), (1500, None, True)],
)
def test_a_pf_is_forgotten_only_when_each_mtu_is_as_noted(
    journal: Journal, pf: int | None, first: int | None, forgotten: bool
) -> None:
    journal.remember(PF)
    for index in (None, 0):
        journal.note_mtu(PF.card, index, 1500)
    now = replace(PF, mtu=pf, vfs=(replace(PF.vfs[0], mtu=first), replace(PF.vfs[1], mtu=4000)))
    if forgotten:
        journal.forget(now)
        assert journal.originals() == ()
        return
    with pytest.raises(StaleSnapshotError, match="not as it was before the first touch"):
        journal.forget(now)


LINKED = a_linked_pf(0, 2, autoprobe=True)
NOTED = {0: VfLink(vlan=0, vlan_qos=0, trust=False), 1: VfLink(mac="02:00:00:00:00:07")}


def before(journal: Journal) -> list[VfLink | None]:
    (entry,) = journal.originals()
    return [vf.link_before for vf in entry.vfs]


def test_link_settings_are_noted_once_before_they_are_set(journal: Journal) -> None:
    assert journal.note_links(LINKED.card, NOTED) == {}  # nothing is noted of a card that was never touched
    journal.remember(LINKED)
    assert journal.note_links(LINKED.card, {**NOTED, 7: VfLink(vlan=1)}) == NOTED
    again = journal.note_links(LINKED.card, {0: VfLink(vlan=9, vlan_qos=0, spoof_check=True)})
    assert again == {0: VfLink(spoof_check=True)}
    assert before(journal) == [replace(NOTED[0], spoof_check=True), NOTED[1]]
    assert '"needs":["originals.numberUntouched","originals.vfs.linkBefore"]' in journal.path.read_text()


def test_no_link_settings_are_noted_once_the_number_is(journal: Journal) -> None:
    journal.remember(LINKED)
    journal.note_number(LINKED.card)
    assert journal.note_links(LINKED.card, NOTED) == {}
    assert before(journal) == [None, None]


@pytest.mark.parametrize(
    ("again", "left"),
    [
        ([NOTED[0]], None),
        ([VfLink(trust=False)], VfLink(vlan=0, vlan_qos=0)),
        ([VfLink(trust=False), VfLink(vlan=0, vlan_qos=0)], None),
        ([VfLink(vlan=5, vlan_qos=0)], NOTED[0]),
        ([VfLink(trust=True)], NOTED[0]),
        ([VfLink()], NOTED[0]),
        ([], NOTED[0]),
    ],
)
def test_a_setting_that_is_again_as_noted_is_dropped_whole(
    journal: Journal, again: list[VfLink], left: VfLink | None
) -> None:
    journal.remember(LINKED)
    journal.note_links(LINKED.card, NOTED)
    journal.drop_links(LINKED.card, {0: again})
    assert before(journal) == [left, NOTED[1]]


GUID = "02:00:00:00:00:00:00:08"
FIRST = replace(NEW_LINK, node_guid=GUID, port_guid=GUID)
LATER = VfLink(
    vlan=9,
    vlan_qos=1,
    trust=True,
    spoof_check=False,
    min_tx_rate=1,
    max_tx_rate=9,
    link_state=LinkState.ENABLE,
    mac="02:00:00:00:00:09",
    node_guid="02:00:00:00:00:00:00:09",
    port_guid="02:00:00:00:00:00:00:09",
)
"""Another value of every setting."""


def shows(link: VfLink) -> Pf:
    return replace(LINKED, vfs=(replace(LINKED.vfs[0], link=link), LINKED.vfs[1]))


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(
    ("ours", "forgotten"), [("not set", True), ("another set", True), ("set", False), ("lost", False)]
)
def test_a_pf_is_forgotten_only_when_each_setting_that_virtfn_set_or_lost_is_as_noted(
    journal: Journal, group: tuple[str, ...], ours: str, forgotten: bool
) -> None:
    journal.remember(shows(FIRST))
    if ours == "lost":
        journal.note_number(LINKED.card)
    elif ours != "not set":
        names = [one for one in GROUPS if (one == group) == (ours == "set")]
        journal.note_links(LINKED.card, {0: VfLink(**{name: getattr(FIRST, name) for each in names for name in each})})
    now = shows(replace(FIRST, **{name: getattr(LATER, name) for name in group}))
    if forgotten:
        journal.forget(now)
        assert journal.originals() == ()
        return
    for wrong in (now, replace(now, vfs=tuple(replace(vf, link=None) for vf in now.vfs))):
        with pytest.raises(StaleSnapshotError, match="not as it was before the first touch"):
            journal.forget(wrong)
