"""Reboot a node of the lab: the machine resets, its disks stay as they were. For clusters of `up(reboots=True)`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from virtfn_lab import qemu
from virtfn_lab.cluster import Cluster, EmulatorBrokeError, expect_unbroken
from virtfn_lab.progress import say
from virtfn_lab.run import CommandFailedError

RESET = "sync; (sleep 1; echo u > /proc/sysrq-trigger; echo b > /proc/sysrq-trigger) >/dev/null 2>&1 &"
"""Written, then read-only, then reset at once: a clean end waits for devices. It answers before it resets."""


def reboot(cluster: Cluster, number: int = 1) -> float:
    """Reboot a node and wait until its kubelet reports the new boot as Ready; return the seconds that it took.

    Where QEMU breaks the boot (qemu.BROKEN_EMULATION), the machine is reset once more.

    Raises:
        LabError: the node does not come back.
    """
    before = boot_id(cluster, number)
    console = cluster.folder / f"console-{number}"
    length = _length(console)
    cluster.node_exec(number, RESET)
    try:
        return _wait_back(cluster, number, before, length)
    except EmulatorBrokeError as error:
        say(f"the emulator broke, not the node; once more: {error}")
        length = _length(console)
        qemu.reset(cluster.folder / f"qmp-{number}")
        return _wait_back(cluster, number, before, length)


def _wait_back(cluster: Cluster, number: int, before: str, length: int) -> float:
    """Wait for a boot other than `before`. Of the console only what comes after `length` bytes is of that boot."""

    def is_back() -> bool:
        expect_unbroken(cluster, number, length)
        return _is_back(cluster, number, before)

    return cluster.until(f"node-{number} is Ready in another boot", is_back, 240)


def _length(console: Path) -> int:
    return console.stat().st_size if console.exists() else 0


def boot_id(cluster: Cluster, number: int = 1) -> str:
    """Return the id of the node's present boot; empty if the node does not answer."""
    try:
        return cluster.node_exec(number, "cat /proc/sys/kernel/random/boot_id", timeout=10).stdout.strip()
    except (CommandFailedError, ValueError):
        return ""


def _is_back(cluster: Cluster, number: int, before: str) -> bool:
    now = boot_id(cluster, number)
    status: Any = cluster.get("node", f"node-{number}")["status"]
    ready = [one["status"] for one in status.get("conditions", []) if one["type"] == "Ready"]
    return now not in ("", before) and status["nodeInfo"]["bootID"] == now and ready == ["True"]
