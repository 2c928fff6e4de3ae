"""What dpdk-testpmd has counted is read from the newest figures of its log."""

from __future__ import annotations

import pytest

from virtfn_lab.consumers import Frames, frames

ONCE = """
  ######################## NIC statistics for port 0  ########################
  RX-packets: {}          RX-missed: 0          RX-bytes:  2048
  RX-errors: 0
  RX-nombuf:  0
  TX-packets: {}          TX-errors: 0          TX-bytes:  2048

  Throughput (since last show)
  Rx-pps:            0          Rx-bps:            0
"""
CLEARED = "\x1b[2J\x1b[1;1H"
"""What testpmd prints before figures, to clear a terminal."""


@pytest.mark.parametrize(
    ("log", "counted"),
    [
        ("", (0, 0)),
        ("EAL: Detected CPU lcores: 2\nPort 0: 02:00:00:00:00:01\n", (0, 0)),
        (CLEARED + ONCE.format(0, 32), (0, 32)),
        (CLEARED + ONCE.format(0, 32) + CLEARED + ONCE.format(64, 96), (64, 96)),
        (ONCE.format(7, 9) + "  RX-packets: 1", (1, 9)),
    ],
    ids=["nothing yet", "no figures yet", "sent only", "the newest of two", "a line without its end"],
)
def test_the_newest_figures_count(log: str, counted: tuple[int, int]) -> None:
    assert frames(log) == Frames(received=counted[0], sent=counted[1])
