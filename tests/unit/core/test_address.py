"""Addresses read and print as the kernel does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtfn_host.core.values.address import PciAddress

addresses = st.builds(
    PciAddress, st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFF), st.integers(0, 0x1F), st.integers(0, 7)
)


@given(addresses)
def test_printing_and_parsing_is_a_round_trip(address: PciAddress) -> None:
    assert PciAddress.parse(str(address)) == address


def test_prints_lower_case_hex_with_a_domain_of_four_digits_or_more() -> None:
    assert str(PciAddress(0, 0x3B, 0x1F, 7)) == "0000:3b:1f.7"
    assert str(PciAddress(0x10000, 0, 0, 0)) == "10000:00:00.0"


def test_upper_case_is_accepted() -> None:
    assert PciAddress.parse("0000:3B:00.0") == PciAddress(0, 0x3B, 0, 0)


@given(addresses, addresses)
def test_order_is_numeric(one: PciAddress, other: PciAddress) -> None:
    as_numbers = [(a.domain, a.bus, a.device, a.function) for a in (one, other)]
    assert (one < other) == (as_numbers[0] < as_numbers[1])


@pytest.mark.parametrize(
    "text", ["", "3b:00.0", "0000:3b:00", "0000:3b:20.0", "0000:3b:00.8", "000:3b:0.0", " 0:3b:00.0"]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a PCI address like 0000:3b:00\.0"):
        PciAddress.parse(text)
