"""A node of the lab that may reboot: its machine comes back, and is waited for by what only the new boot can show."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, cast

import pytest

from virtfn_lab import qemu
from virtfn_lab.cluster import Cluster
from virtfn_lab.node_image import NodeImage
from virtfn_lab.paths import repository
from virtfn_lab.reboot import RESET, reboot


@pytest.mark.parametrize("reboots", [True, False])
def test_only_a_machine_that_may_reboot_comes_back(monkeypatch: pytest.MonkeyPatch, reboots: bool) -> None:
    monkeypatch.setattr(qemu, "accelerator", lambda _: [])
    image = NodeImage(firmware=Path("/f"), vmlinuz=Path("/v"), initrd=Path("/i"), disk=Path("/d"))
    guest = qemu.Guest(
        hardware=qemu.Hardware(),
        image=image,
        shares={},
        settings={},
        console=Path("/c"),
        monitor=Path("/m"),
        reboots=reboots,
    )
    assert ("-no-reboot" in qemu.command(guest)) is not reboots


class FakeCluster:
    """A node that answers in a new boot after some questions, and is Ready after some more."""

    def __init__(self, folder: Path, boots: list[str], told: list[tuple[str, str]]) -> None:
        self.folder, self.boots, self.told = folder, boots, told
        self.commands: list[str] = []

    def node_exec(self, number: int, command: str, timeout: float = 0) -> CompletedProcess[str]:
        self.commands.append(command)
        answer = self.boots.pop(0) if "boot_id" in command else ""
        if answer == "silent":
            raise ValueError("no answer")
        return CompletedProcess(command, 0, answer, "")

    def get(self, *words: str) -> dict[str, Any]:
        boot, ready = self.told.pop(0)
        return {"status": {"nodeInfo": {"bootID": boot}, "conditions": [{"type": "Ready", "status": ready}]}}

    def until(self, what: str, true: Callable[[], bool], seconds: float) -> float:
        asked = 1.0
        while not true():
            asked += 1
        return asked


def test_a_reboot_ends_when_the_kubelet_reports_the_new_boot_as_ready(tmp_path: Path) -> None:
    boots = ["old", "old", "silent", "new", "new", "new"]
    told = [("old", "True"), ("old", "True"), ("old", "Unknown"), ("new", "False"), ("new", "True")]
    cluster = FakeCluster(tmp_path, boots, told)
    assert reboot(cast(Cluster, cluster)) == 5
    assert cluster.commands[1] == RESET
    assert cluster.told == []


STALL = "rcu: INFO: rcu_sched detected stalls on CPUs/tasks\n"


class BrokenBoot(FakeCluster):
    """A node whose machine loses its timer at the reset that the guest makes."""

    def node_exec(self, number: int, command: str, timeout: float = 0) -> CompletedProcess[str]:
        if command == RESET:
            with (self.folder / "console-1").open("a") as console:
                console.write(STALL * qemu.STALLS)
        return super().node_exec(number, command, timeout)


@pytest.mark.parametrize("earlier", ["", STALL * qemu.STALLS], ids=["a clean console", "stalls of an earlier boot"])
def test_a_boot_that_the_emulator_broke_is_tried_once_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, earlier: str
) -> None:
    (tmp_path / "console-1").write_text(earlier)
    resets: list[Path] = []
    monkeypatch.setattr(qemu, "reset", resets.append)
    cluster = BrokenBoot(tmp_path, ["old", "new"], [("new", "True")])
    reboot(cast(Cluster, cluster))
    assert resets == [tmp_path / "qmp-1"]


def test_stalls_of_an_earlier_boot_break_no_later_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "console-1").write_text(STALL * qemu.STALLS)
    monkeypatch.setattr(qemu, "reset", lambda _: pytest.fail("it was reset once more"))
    reboot(cast(Cluster, FakeCluster(tmp_path, ["old", "new"], [("new", "True")])))


def test_the_monitor_is_asked_for_a_reset_and_answers(tmp_path: Path) -> None:
    """As QEMU does: a greeting, an answer to each line with its id, and events between."""
    asked: list[str] = []

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rwb") as lines:
            lines.write(b'{"QMP": {"version": {}}}\n')
            lines.flush()
            for _ in range(2):
                word = json.loads(lines.readline())
                asked.append(word["execute"])
                lines.write(b'{"event": "RESET"}\n' + json.dumps({"return": {}, "id": word["id"]}).encode() + b"\n")
                lines.flush()

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "qmp"))
        server.listen()
        monitor = threading.Thread(target=serve, args=(server,))
        monitor.start()
        qemu.reset(tmp_path / "qmp")
        monitor.join(10)
    assert asked == ["qmp_capabilities", "system_reset"]


def test_the_node_runs_an_installed_unit_before_its_kubelet_and_only_where_it_may_reboot() -> None:
    text = (repository() / "lab/guest/node.sh").read_text()
    assert text.index("virtfn-boot.service") < text.index("forever kubelet")
    assert 'if [ -n "$VIRTFN_REBOOTS" ]; then' in text
