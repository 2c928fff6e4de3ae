"""A document that grows: each line is checked and tied to the one before; a last line that is cut off is told."""

from collections.abc import Callable

import pytest
from documents import of_version_1, sealed

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.appended import MOST_RECORDS, TornError, digest_of, line_of, read_lines
from virtfn_host.core.values.codec import CodecError, encode
from virtfn_host.core.values.envelope import dumps
from virtfn_host.core.values.offered import Allocation, Ledger, Noted

HEAD = Ledger(boot_id="b", allocations=())


def entry(number: int) -> Allocation:
    return Allocation(address=PciAddress(0, 1, number // 8, number % 8), resource_name="virtfn.dev/fast", at=1.5)


def lines(count: int, head: object = HEAD) -> list[bytes]:
    found = [line_of(head)]
    for number in range(count):
        found.append(line_of(Noted(follows=digest_of(found[-1]), allocations=(entry(number),))))
    return found


def read(*parts: bytes) -> tuple[Ledger, list[Allocation]]:
    head, records = read_lines(Ledger, Noted, b"".join(parts))
    return head, [one for record in records for one in record.allocations]


@pytest.mark.parametrize("count", [0, 1, 3, 64])
def test_what_was_written_is_read(count: int) -> None:
    assert read(*lines(count)) == (HEAD, [entry(number) for number in range(count)])


@pytest.mark.parametrize("head", [dumps(HEAD), dumps(HEAD) + "\n", of_version_1(HEAD), of_version_1(HEAD) + "\n"])
def test_a_document_without_records_is_read_as_ever(head: str) -> None:
    assert read(head.encode()) == (HEAD, [])


CHANGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "the first record is missing": lambda all_: [all_[0], *all_[2:]],
    "one from the middle is missing": lambda all_: [*all_[:2], *all_[3:]],
    "one is there twice": lambda all_: [*all_[:3], *all_[2:]],
    "two are exchanged": lambda all_: [*all_[:2], all_[3], all_[2], *all_[4:]],
    "the head is another": lambda all_: [line_of(Ledger(boot_id="c", allocations=())), *all_[1:]],
    "one is of another file": lambda all_: [*all_[:-1], lines(1, Ledger(boot_id="c", allocations=()))[1]],
    "a head comes again": lambda all_: [*all_, all_[0]],
    "an empty line": lambda all_: [*all_, b"\n"],
    "one is pretty": lambda all_: [*all_[:2], all_[2].replace(b",", b", "), *all_[3:]],
    "one has other white space": lambda all_: [*all_[:2], b" " + all_[2], *all_[3:]],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_lines_that_are_not_all_there_in_their_order_are_refused(change: Callable[[list[bytes]], list[bytes]]) -> None:
    with pytest.raises(CodecError, match=r"^record \d: ") as found:
        read(*change(lines(5)))
    assert not isinstance(found.value, TornError)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_last_line_that_is_cut_off_is_told_with_what_is_whole(count: int) -> None:
    *whole, last = lines(count)
    for size in range(1, len(last) - 1):
        with pytest.raises(
            TornError, match=f"is cut off, as by a crash or a full disk; {count - 1} before it"
        ) as found:
            read(*whole, last[:size])
        assert found.value.head == HEAD
        assert len(found.value.records) == count - 1
    assert read(*whole, last[:-1])[1][-1] == entry(count - 1)  # all but its newline


@pytest.mark.parametrize("size", [0, 1, 20, 100])
def test_a_head_that_is_cut_off_is_an_unreadable_document(size: int) -> None:
    with pytest.raises(CodecError, match=r"it is empty|cut off") as found:
        read(lines(0)[0][:size])
    assert not isinstance(found.value, TornError)


def test_more_records_than_a_writer_appends_are_refused_before_they_are_parsed() -> None:
    with pytest.raises(CodecError, match=f"more than {MOST_RECORDS} records"):
        read(line_of(HEAD), b"\n" * (4 << 20))


@pytest.mark.parametrize("needs", [["until"], ["allocations.until"], ["kept"]])
def test_a_record_that_needs_more_than_this_version_knows_is_refused(needs: list[str]) -> None:
    (head,) = lines(0)
    noted = Noted(follows=digest_of(head), allocations=())
    with pytest.raises(CodecError, match=r"record 1: it needs .* upgrade virtfn"):
        read(head, sealed(noted, needs=needs).encode() + b"\n")


def test_a_field_more_in_a_record_is_left() -> None:
    (head,) = lines(0)
    told = {**encode(Noted(follows=digest_of(head), allocations=(entry(1),))), "pod": "of a version to come"}
    assert read(head, sealed(Noted(follows="", allocations=()), told).encode() + b"\n")[1] == [entry(1)]
