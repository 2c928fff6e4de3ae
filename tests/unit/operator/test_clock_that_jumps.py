"""A time of day that is set an hour back or forth lets no kubelet seem settled."""

import os
from pathlib import Path

import pytest

from virtfn_operator.agent.podresources import PodResources
from virtfn_operator.agent.ports import KubeletUnreachableError

HOUR = 3600.0


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_kubelet_that_starts_anew_is_settled_by_our_clock(tmp_path: Path, jump: float) -> None:
    socket = tmp_path / "kubelet.sock"
    socket.touch()
    os.utime(socket, (5000.0, 5000.0))
    now, wall = 100.0, 6000.0
    kubelet = PodResources(socket, now=lambda: wall, monotonic=lambda: now)
    kubelet._check_settled()
    os.utime(socket, (6001.0, 6001.0))
    wall += jump
    with pytest.raises(KubeletUnreachableError, match="started less than 30 s ago"):
        kubelet._check_settled()
    now += 29.0
    wall -= jump
    with pytest.raises(KubeletUnreachableError, match="started less than 30 s ago"):
        kubelet._check_settled()
    now += 1.0
    kubelet._check_settled()


def test_a_socket_of_a_time_to_come_is_a_new_one(tmp_path: Path) -> None:
    socket = tmp_path / "kubelet.sock"
    socket.touch()
    os.utime(socket, (5000.0 + HOUR, 5000.0 + HOUR))
    now = 100.0
    kubelet = PodResources(socket, now=lambda: 5000.0, monotonic=lambda: now)
    with pytest.raises(KubeletUnreachableError):
        kubelet._check_settled()
    now += 30.0
    kubelet._check_settled()
