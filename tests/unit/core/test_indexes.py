"""VF indexes: bounded before anything is counted out, and read back as they were written."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtfn_host.core.turn.policy import PolicyError
from virtfn_host.core.values.indexes import Indexes, clash, indexes_text, parse_indexes, read_indexes


@pytest.mark.parametrize(
    "text",
    [
        ",".join(["0-65534"] * 128),
        ",".join(["0-9"] * 128),
        ",".join(str(n % 2) for n in range(128)),
        "0-65534,65534",
        "7,0-3,2-5",
        "0-3,00001",
    ],
)
def test_overlap_is_found_between_ranges_and_nothing_is_counted_out(text: str) -> None:
    tracemalloc.start()
    with pytest.raises(PolicyError, match="names an index twice"):
        read_indexes(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("0," * 512 + "1", "at most 1024 characters, got 1025"),
        ("9" * 5_000_000, "at most 1024 characters"),
        (",".join(str(n) for n in range(129)), "at most 128 ranges, got 129"),
        ("0-65535", "65535 is out of range (0 to 65534)"),
        ("99999", "99999 is out of range (0 to 65534)"),
        ("\u0661-\u0663", "is not a VF index or range"),
        ("0-3,", "'' is not a VF index or range"),
        (None, "want text like 0-3,6, got None"),
        (10**5000, "got a number of more than 64 bits"),
    ],
    ids=range(9),
)
def test_what_is_too_much_or_no_text_is_refused_in_a_short_message(text: object, part: str) -> None:
    with pytest.raises(PolicyError) as refused:
        read_indexes(text, "spec.x")
    assert str(refused.value).startswith("spec.x: ")
    assert part in str(refused.value)
    assert len(str(refused.value)) < 200


def test_all_of_them_are_one_range() -> None:
    everything = read_indexes("0-65534")
    assert everything.ranges == ((0, 65534),)
    assert (len(everything), 65534 in everything, 65535 in everything) == (65535, True, False)
    assert list(everything.below(3)) == [0, 1, 2]
    assert parse_indexes("0-65534") == tuple(range(65535))


SETS = st.sets(st.integers(0, 400), max_size=80)


@given(SETS, st.integers(0, 420))
def test_they_are_what_a_set_of_numbers_is(numbers: set[int], limit: int) -> None:
    made = Indexes.of(numbers)
    assert made == tuple(sorted(numbers))
    assert (len(made), list(made)) == (len(numbers), sorted(numbers))
    assert [n for n in range(-1, 402) if n in made] == sorted(numbers)
    assert list(made.below(limit)) == sorted(n for n in numbers if n < limit)
    assert hash(made) == hash(Indexes.of(sorted(numbers, reverse=True)))
    if numbers:
        assert read_indexes(indexes_text(numbers), range_limit=400, text_limit=4000) == made


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=6))
def test_a_clash_is_an_index_that_stands_twice(pairs: list[tuple[int, int]]) -> None:
    ranges = sorted((first, first + more) for first, more in pairs)
    counted = [n for first, last in ranges for n in range(first, last + 1)]
    found = clash(ranges)
    assert (found is None) == (len(set(counted)) == len(counted))
    assert found is None or counted.count(found) > 1
