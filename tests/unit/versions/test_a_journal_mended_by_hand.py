"""The runbook's way to mend a journal by hand works for a journal with every field that this version writes."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import MISSING, replace
from pathlib import Path

import pytest
from journal_by_hand import WHOLE, mend, write_whole

from virtfn_host.core.values.identity import UNKNOWN
from virtfn_host.core.values.model import LinkSettings
from virtfn_host.linux.act.journal import Journal, _Entries
from virtfn_host.linux.documents import read


def of_default(value: object, path: str) -> Iterator[str]:
    """The path of every field that has its default, in a value and in those inside it."""
    if isinstance(value, tuple):
        for item in value:
            yield from of_default(item, path)
    elif dataclasses.is_dataclass(value):
        for one in dataclasses.fields(value):
            inner = getattr(value, one.name)
            if one.default is not MISSING and inner == one.default:
                yield f"{path}.{one.name}"
            else:
                yield from of_default(inner, f"{path}.{one.name}")


def test_the_journal_of_this_test_has_every_field() -> None:
    names = [one.name for one in dataclasses.fields(LinkSettings)]  # always written
    links = {f".originals.vfs.{link}.{name}" for link in ("link", "link_before") for name in names}
    assert set(of_default(WHOLE, "")) <= links


def test_one_that_was_edited_is_read_again_with_all_that_it_says(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    write_whole(path)
    document = json.loads(path.read_text())
    document["value"]["originals"][0]["vfs"][0]["driver"] = "other"
    path.write_text(json.dumps(document))
    with pytest.raises(Exception, match="checksum"):
        read(_Entries, path)
    mend(path)
    (original,) = WHOLE.originals
    edited = replace(original, vfs=(replace(original.vfs[0], driver="other"),))
    assert read(_Entries, path) == replace(WHOLE, originals=(edited,))


def test_the_next_change_seals_it_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    write_whole(path)
    before = json.loads(path.read_text())
    mend(path)
    assert Journal(path).note_number(WHOLE.originals[0].card)
    after = json.loads(path.read_text())
    assert (after["version"], "checksum" in after) == (2, True)
    assert after["needs"] == ["originals.mtu", "originals.vfs.linkBefore", "originals.vfs.mtu"]
    assert before["needs"] == [
        "originals.mtu",
        "originals.numberUntouched",
        "originals.vfs.linkBefore",
        "originals.vfs.mtu",
    ]


def test_for_an_earlier_version_the_number_is_given_back_and_no_mtu(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    write_whole(path)
    mend(path, earlier=True)
    found = read(_Entries, path)
    assert found is not None
    ((original,), (vf,)) = found.originals, found.originals[0].vfs
    assert (original.number_untouched, original.mtu, vf.mtu, vf.link_before) == (False, None, None, None)
    assert (original.boot_id, original.identity, found.claims) == ("", UNKNOWN, ())
    assert (original.num_vfs, vf.driver, original.own) == (1, "igbvf", WHOLE.originals[0].own)
