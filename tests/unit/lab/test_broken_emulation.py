"""A node that QEMU broke while it booted is told from one that is slow, and the cluster is started once more."""

from pathlib import Path

import pytest

from virtfn_lab import cluster
from virtfn_lab.cluster import Cluster, EmulatorBrokeError, LabError, up
from virtfn_lab.qemu import is_broken

STALL = "[ {}.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\n"


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("", False),
        ("[ 1.0] Linux version 6.1\n", False),
        (STALL.format(22), False),
        (STALL.format(22) + STALL.format(43), False),
        (STALL.format(22) + STALL.format(43) + "[ 64.0] rcu: INFO: rcu_sched detected stalls\n", True),
        ("".join(STALL.format(n) for n in (22, 43, 64, 127)), True),
    ],
)
def test_several_stalls_are_a_lost_timer_and_one_is_a_loaded_host(tmp_path: Path, text: str, broken: bool) -> None:
    console = tmp_path / "console-1"
    console.write_text(text)
    assert is_broken(console) is broken


def test_a_console_that_is_not_there_yet_is_no_broken_one(tmp_path: Path) -> None:
    assert not is_broken(tmp_path / "console-1")


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Exception | Cluster]:
    """How the coming starts end, in order; nothing is built and no machine is started."""
    answers: list[Exception | Cluster] = []

    def start(*_: object) -> Cluster:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    for name in ("down", "ensure", "tools", "image_disk"):
        monkeypatch.setattr(cluster, name, lambda *_: tmp_path)
    monkeypatch.setattr(cluster, "node_image", lambda: type("Image", (), {"disk": tmp_path / "disk"}))
    monkeypatch.setattr(cluster, "_up", start)
    return answers


def test_it_is_started_once_more(starts: list[Exception | Cluster], tmp_path: Path) -> None:
    made = Cluster(folder=tmp_path, tools=tmp_path, pid=1)
    starts += [EmulatorBrokeError("a timer was lost"), made]
    assert up() is made


@pytest.mark.parametrize(
    "ends",
    [
        [EmulatorBrokeError("a timer was lost"), EmulatorBrokeError("a timer was lost")],
        [LabError("not within 600 s: every node is Ready")],
        [EmulatorBrokeError("a timer was lost"), LabError("the lab ended while it came up")],
    ],
)
def test_it_is_not_started_for_ever_and_not_for_another_cause(
    starts: list[Exception | Cluster], ends: list[Exception | Cluster]
) -> None:
    starts += ends
    with pytest.raises(LabError):
        up()
    assert starts == []
