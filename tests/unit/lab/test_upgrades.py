"""The kubelet's log of an upgrade is read as it is written: for how long a resource had no plugin."""

from __future__ import annotations

import pytest

from virtfn_lab.cluster import LabError
from virtfn_lab.upgrades import Zero, longest_gap

LEFT, RIGHT = "virtfn.dev/left", "virtfn.dev/right"


def ended(second: float, name: str) -> str:
    what = '"ListAndWatch ended unexpectedly for device plugin" err="rpc error: code = Unavailable desc = EOF"'
    return f'E1129 14:00:{second:09.6f}    212 client.go:86] {what} resource="{name}"'


def asked(second: float, name: str) -> str:
    what = '"Got registration request from device plugin with resource"'
    return f'I1129 14:00:{second:09.6f}    212 server.go:159] {what} resourceName="{name}"'


def test_a_plugin_that_comes_after_the_other_leaves_a_gap_of_its_resource() -> None:
    lines = [ended(1, LEFT), ended(1.5, RIGHT), "I1129 14:00:02.000000 other", asked(4, RIGHT), asked(6.25, LEFT)]
    assert longest_gap(lines) == pytest.approx(5.25)
    assert longest_gap([*lines[:4], asked(2, LEFT)]) == pytest.approx(2.5)


def test_a_plugin_that_comes_before_the_other_ends_leaves_none() -> None:
    assert longest_gap([asked(1, LEFT), asked(1, RIGHT), ended(2, LEFT), ended(3, RIGHT)]) == 0


def test_one_that_goes_soon_after_the_other_leaves_a_gap_all_the_same() -> None:
    lines = [asked(1, LEFT), ended(2, LEFT), ended(3, LEFT), asked(5, LEFT)]
    assert longest_gap(lines) == pytest.approx(2)


@pytest.mark.parametrize("lines", [[ended(1, LEFT)], [asked(1, LEFT), ended(2, LEFT), ended(2, LEFT)]])
def test_one_that_does_not_come_back_is_an_error(lines: list[str]) -> None:
    with pytest.raises(LabError, match=LEFT):
        longest_gap(lines)


@pytest.mark.parametrize(
    ("seen", "seconds"),
    [
        ([("7", 0), ("7", 3), ("7", 6)], 0),
        ([("7", 0), ("0", 3), ("7", 6)], 3),
        ([("7", 0), ("0", 3), ("0", 6), ("7", 9), ("0", 12), ("7", 13)], 7),
        ([("", 1), ("7", 2)], 1),
    ],
)
def test_the_time_at_zero_is_from_the_first_zero_to_the_next_other_value(
    seen: list[tuple[str, int]], seconds: int
) -> None:
    zero = Zero()
    for value, now in seen:
        zero.see(value, now)
    assert zero.seconds == seconds
