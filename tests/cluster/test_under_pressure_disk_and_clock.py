"""Disks that are full and a clock that jumps an hour: nothing is done without its note, and nobody's help is needed."""

from __future__ import annotations

from virtfn_lab.node import Node
from virtfn_lab.pressure import clock_jumps, full_disks
from virtfn_lab.progress import say


def test_without_room_for_a_note_nothing_is_touched_and_all_goes_on_with_it(node: Node) -> None:
    told = []
    for done in full_disks(node, killed=False):
        say(str(done))
        told.append(done)
    assert len(told) == 3


def test_a_clock_that_jumps_an_hour_holds_nothing_up(node: Node) -> None:
    told = []
    for done in clock_jumps(node):
        say(str(done))
        told.append(done)
    assert len(told) == 3
