"""A short sample of the documents' law, which `make prove` tries in full; without the checksum the law is broken."""

from pathlib import Path

import pytest
from document_law import kinds, tried
from documents import of_version_1

from virtfn_host.core.values import envelope
from virtfn_host.linux import documents
from virtfn_host.linux.errors import DocumentError

KINDS = (0, 1, 2)
NAMES = ("pool file", "ledger", "journal")


@pytest.mark.parametrize("number", KINDS, ids=NAMES)
def test_a_file_that_somebody_changed_is_refused_or_read_right(number: int, tmp_path: Path) -> None:
    kind = kinds(tmp_path)[number]
    counted, violations = tried([kind], flips=300, generated=200, kills=3, seed=1)
    assert violations == []
    assert counted[f"{kind.name}: bits flipped: refused"] == 300
    assert sum(times for what, times in counted.items() if what.endswith("read as it says")) > 10


@pytest.mark.parametrize("number", KINDS, ids=NAMES)
def test_without_a_checksum_the_law_is_broken(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "checksum_of", lambda *_: "sha256:0")
    _, violations = tried(kinds(tmp_path)[number : number + 1], flips=700, generated=0, kills=0, seed=1)
    assert any("bits flipped" in line for line in violations)


@pytest.mark.parametrize("number", KINDS, ids=NAMES)
def test_what_an_earlier_version_wrote_is_read_and_sealed_by_the_next_write(number: int, tmp_path: Path) -> None:
    kind = kinds(tmp_path)[number]
    kind.path.write_text(of_version_1(kind.value) + "\n")
    assert kind.read() == kind.value
    kind.write()
    assert '"version":2' in kind.path.read_text()
    assert kind.read() == kind.value


@pytest.mark.parametrize("number", KINDS, ids=NAMES)
def test_what_was_written_by_no_flip_of_a_bit_passes_for_an_earlier_version(number: int, tmp_path: Path) -> None:
    """One is three keys and no seal, the other four: no version's document becomes the other's by its number alone."""
    kind = kinds(tmp_path)[number]
    kind.write()
    good = kind.path.read_text()
    kind.path.write_text(good.replace('"version":2', '"version":1'))
    with pytest.raises(Exception, match="a document of version 1 has kind, value, version and nothing else"):
        kind.read()
    kind.path.write_text(of_version_1(kind.value).replace('"version":1', '"version":2'))
    with pytest.raises(Exception, match="its checksum does not match"):
        kind.read()


def test_one_kind_of_document_is_not_taken_for_another(tmp_path: Path) -> None:
    pools, ledger, *_ = kinds(tmp_path)
    pools.write()
    ledger.path.write_bytes(pools.path.read_bytes())
    with pytest.raises(Exception, match="kind 'PoolSet', wanted Ledger"):
        ledger.read()


def test_the_reader_answers_with_its_one_exception(tmp_path: Path) -> None:
    pools, *_ = kinds(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DocumentError, match="folder cannot be read: is a folder; move it away"):
        documents.read(type(pools.value), tmp_path / "folder")
    with pytest.raises(DocumentError, match="folder cannot be written: Is a directory"):
        documents.write(tmp_path / "folder", pools.value, 0o600)
