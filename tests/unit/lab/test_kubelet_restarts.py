"""What the plugin's log says of registrations is read as it is written."""

from __future__ import annotations

import pytest

from virtfn_lab.kubelet_restarts import said

LEFT, RIGHT = "virtfn.dev/left", "virtfn.dev/right"


def line(second: int, text: str) -> str:
    return f"2026-11-29 14:00:{second:02d},250 INFO virtfn.deviceplugin {text}"


def ended(second: int, name: str, cause: str = "its stream ended") -> str:
    return line(second, f"{name}: not registered any more after 12 s: {cause}; registering again")


def test_each_begin_and_each_end_counts_for_its_resource() -> None:
    told = said([ended(1, LEFT), ended(1, RIGHT), line(3, f"{LEFT}: registered, 7 devices")])
    assert {name: len(times) for name, times in told.ended.items()} == {LEFT: 1, RIGHT: 1}
    assert {name: len(times) for name, times in told.began.items()} == {LEFT: 1}


def test_the_longest_time_without_a_list_is_of_any_resource() -> None:
    lines = [ended(1, LEFT), ended(1, RIGHT), line(3, f"{LEFT}: registered, 7 devices")]
    assert said([*lines, line(9, f"{RIGHT}: registered, 7 devices")]).without == pytest.approx(8)


@pytest.mark.parametrize(
    "other",
    [
        f"{LEFT}: 0000:01:10.0 handed out",
        f"{LEFT}: not registered with the kubelet: no answer",
        f"{LEFT}: 7 of 7 devices healthy",
    ],
)
def test_other_lines_do_not_count(other: str) -> None:
    assert said([line(1, other)]).began == said([line(1, other)]).ended == {}
