"""SIGKILL between any two steps of a plan on the real kernel: a fresh start converges, and restores byte for byte.

`VIRTFN_BOUNDARIES=1` tries every boundary; by default one or two of each plan. Beside them the process is killed at
random moments, mostly in the middle of a write, which the kernel then ends without it. What was is given back by the
command that people type: `virtfn restore --all`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.model import InUse
from virtfn_host.core.values.steps import Plan, describe
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.act.journal import Journal
from virtfn_host.linux.act.machine import Machine
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.modules import Modprobe
from virtfn_host.linux.touch.writer import Writer

STRIDE = int(os.environ.get("VIRTFN_BOUNDARIES", "17"))
MOMENTS = 3 if STRIDE == 1 else 1
"""Kills of each plan at a random moment."""

JOURNAL = Path("/var/lib/virtfn/journal.json")
DEVICES = Path("/sys/bus/pci/devices")
NOTHING = NodeConfig(policies=())


def wanting(
    pf: PciAddress, count: int | None, driver: str = "vfio-pci", indexes: tuple[int, ...] | None = None
) -> NodeConfig:
    pool = PoolRequest(resource_name="virtfn.dev/x", indexes=indexes, driver=driver)
    policy = PolicyConfig(
        name="x", uid="u", generation=1, devices=(DeviceMatcher(address=pf),), count=count, pools=(pool,)
    )
    return NodeConfig(policies=(policy,))


class Node:
    """One PF of the guest, and fresh processes that look after it."""

    def __init__(self) -> None:
        self.sysfs = Sysfs()
        self.journal = Journal(JOURNAL)
        self.writer = Writer()
        """Of the fresh starts; starting its children takes seconds in an emulated machine."""
        found = read_inventory(self.sysfs).pfs
        self.pf = next(pf.address for pf in found if (pf.vendor, pf.device) == ("8086", "10c9"))

    def machine(self, writer: Writer) -> Machine:
        return Machine(sysfs=self.sysfs, writer=writer, journal=self.journal, modules=Modprobe())

    def planned(self, config: NodeConfig) -> Plan:
        inventory = read_inventory(self.sysfs)
        return plan(inventory, resolve(config, inventory, self.journal.originals()).desired, InUse(holders=()))

    def converge(self, config: NodeConfig) -> None:
        """A fresh start, from whatever is there."""
        for _ in range(3):
            made = self.planned(config)
            if not made.steps:
                break
            apply(made, self.machine(self.writer))
        inventory = read_inventory(self.sysfs)
        desired = resolve(config, inventory, self.journal.originals()).desired
        assert self.planned(config).steps == ()
        assert verify(desired, inventory) == ()

    def restore(self) -> None:
        """By the command, in a process of its own."""
        words = [sys.executable, "-m", "virtfn_host.cli.verbs", "restore", "--all"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def killed_after(self, config: NodeConfig, steps: int) -> None:
        """A process that carries out so many steps and is killed."""
        done = 0

        def count(_: object) -> None:
            nonlocal done
            done += 1
            if done == steps:
                os.kill(os.getpid(), signal.SIGKILL)

        child = _forked(lambda: self._applied(config, count))
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])

    def killed_within(self, config: NodeConfig, chance: random.Random, usual: float) -> bool:
        """A process that is killed at some moment of its usual seconds; whether it was still at work."""
        read_end, write_end = os.pipe()

        def work() -> None:
            machine = self.machine(Writer())
            # Its children are there before the clock runs: they take longer to start than most writes.
            machine.writer.write_all([("/dev/null", "x")] * 8, 60)
            os.write(write_end, b"x")
            apply(self.planned(config), machine)

        child = _forked(work)
        os.close(write_end)
        os.read(read_end, 1)
        os.close(read_end)
        time.sleep(chance.uniform(0, usual))  # the moment is what is tried
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status)

    def _applied(self, config: NodeConfig, on_result: Callable[[object], None]) -> None:
        apply(self.planned(config), self.machine(Writer()), on_result)

    def state(self) -> dict[str, bytes]:
        """Everything that restoring must bring back."""
        folder = DEVICES / str(self.pf)
        found = {name: (folder / name).read_bytes() for name in ("sriov_numvfs", "sriov_drivers_autoprobe")}
        for link in sorted(folder.glob("virtfn*")):
            driver = link / "driver"
            found[f"{link.name} driver"] = driver.resolve().name.encode() if driver.exists() else b""
            found[f"{link.name} override"] = (link / "driver_override").read_bytes()
        return found


def _forked(work: Callable[[], None]) -> int:
    """A child process that does it and ends."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


@pytest.fixture
def node() -> Iterator[Node]:
    subprocess.run(["modprobe", "-a", "igb", "igbvf", "vfio-pci"], check=True)
    JOURNAL.unlink(missing_ok=True)
    made = Node()
    yield made
    made.writer.close()
    (DEVICES / str(made.pf) / "sriov_numvfs").write_text("0")
    (DEVICES / str(made.pf) / "sriov_drivers_autoprobe").write_text("1")
    JOURNAL.unlink(missing_ok=True)


PLANS = ("seven from nothing", "three instead of seven", "two of somebody's", "to the kernel's driver", "given back")


def told(name: str, pf: PciAddress) -> tuple[int, NodeConfig, NodeConfig]:
    """VFs of somebody before, what was asked before, what is asked now."""
    seven = wanting(pf, 7)
    match name:
        case "seven from nothing":
            return 0, NOTHING, seven
        case "three instead of seven":
            return 0, seven, wanting(pf, 3)
        case "two of somebody's":
            return 3, NOTHING, wanting(pf, None, indexes=(0, 1))
        case "to the kernel's driver":
            return 0, seven, wanting(pf, 7, "kernel")
        case _:
            return 2, seven, NOTHING


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", PLANS)
def test_a_kill_at_any_moment_loses_nothing(node: Node, name: str, tried: Callable[[int], None]) -> None:
    theirs, before, now = told(name, node.pf)
    (DEVICES / str(node.pf) / "sriov_numvfs").write_text(str(theirs))
    original = node.state()
    node.converge(before)
    steps = node.planned(now).steps
    began = time.monotonic()
    node.converge(now)
    usual = time.monotonic() - began
    boundaries = range(1, len(steps) + 1, STRIDE)
    for number in boundaries:
        node.converge(before)
        node.killed_after(now, number)
        _given_back(node, now, original, f"a kill behind: {describe(steps[number - 1])}")
    chance, at_work = random.Random(name), 0
    for _ in range(MOMENTS):
        node.converge(before)
        at_work += node.killed_within(now, chance, usual)
        _given_back(node, now, original, "a kill at a random moment")
    tried(len(boundaries) + at_work)
    seconds = (time.monotonic() - began) / (len(boundaries) + MOMENTS)
    print(f"{name}: {len(boundaries)} of {len(steps)} boundaries, {at_work} kills at work, {seconds:.1f} s each")


def _given_back(node: Node, now: NodeConfig, original: dict[str, bytes], after: str) -> None:
    """A fresh start converges, and what was before comes back."""
    node.converge(now)
    node.restore()
    assert node.state() == original, after
    assert node.journal.originals() == (), after
