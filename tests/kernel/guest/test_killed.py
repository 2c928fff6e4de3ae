"""SIGKILL between any two steps of a plan on the real kernel: a fresh start converges, and restores byte for byte.

`VIRTFN_BOUNDARIES=1` tries every boundary; by default every ninth is tried.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from virtfn_host.core.address import PciAddress
from virtfn_host.core.model import DeviceMatcher, InUse, NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.plan import plan
from virtfn_host.core.resolve import resolve
from virtfn_host.core.steps import Plan, describe
from virtfn_host.core.verify import verify
from virtfn_host.linux.apply import Machine, apply
from virtfn_host.linux.inventory import read_inventory
from virtfn_host.linux.journal import Journal
from virtfn_host.linux.modules import Modprobe
from virtfn_host.linux.sysfs import Sysfs
from virtfn_host.linux.writer import Writer

STRIDE = int(os.environ.get("VIRTFN_BOUNDARIES", "9"))
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

    def __init__(self, folder: Path) -> None:
        self.sysfs = Sysfs()
        self.journal = Journal(folder / "journal.json")
        found = read_inventory(self.sysfs).pfs
        self.pf = next(pf.address for pf in found if (pf.vendor, pf.device) == ("8086", "10c9"))

    def machine(self) -> Machine:
        return Machine(sysfs=self.sysfs, writer=Writer(), journal=self.journal, modules=Modprobe())

    def planned(self, config: NodeConfig) -> Plan:
        inventory = read_inventory(self.sysfs)
        return plan(inventory, resolve(config, inventory, self.journal.originals()).desired, InUse(holders=()))

    def converge(self, config: NodeConfig) -> None:
        """A fresh process, from whatever is there."""
        machine = self.machine()
        for _ in range(3):
            apply(self.planned(config), machine)
        machine.writer.close()
        inventory = read_inventory(self.sysfs)
        desired = resolve(config, inventory, self.journal.originals()).desired
        assert self.planned(config).steps == ()
        assert verify(desired, inventory) == ()

    def killed_after(self, config: NodeConfig, steps: int) -> None:
        """A process that carries out so many steps and is killed."""
        child = os.fork()
        if child == 0:
            done = 0

            def count(_: object) -> None:
                nonlocal done
                done += 1
                if done == steps:
                    os.kill(os.getpid(), signal.SIGKILL)

            apply(self.planned(config), self.machine(), count)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)

    def state(self) -> dict[str, bytes]:
        """Everything that restoring must bring back."""
        folder = DEVICES / str(self.pf)
        found = {name: (folder / name).read_bytes() for name in ("sriov_numvfs", "sriov_drivers_autoprobe")}
        for link in sorted(folder.glob("virtfn*")):
            driver = link / "driver"
            found[f"{link.name} driver"] = driver.resolve().name.encode() if driver.exists() else b""
            found[f"{link.name} override"] = (link / "driver_override").read_bytes()
        return found


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    subprocess.run(["modprobe", "-a", "igb", "igbvf", "vfio-pci"], check=True)
    made = Node(tmp_path)
    yield made
    (DEVICES / str(made.pf) / "sriov_numvfs").write_text("0")
    (DEVICES / str(made.pf) / "sriov_drivers_autoprobe").write_text("1")


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


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PLANS)
def test_a_kill_between_two_steps_loses_nothing(node: Node, name: str, tried: Callable[[int], None]) -> None:
    theirs, before, now = told(name, node.pf)
    (DEVICES / str(node.pf) / "sriov_numvfs").write_text(str(theirs))
    original = node.state()
    node.converge(before)
    steps = node.planned(now).steps
    number_tried = 0
    for number in range(1, len(steps) + 1, STRIDE):
        node.converge(before)
        node.killed_after(now, number)
        node.converge(now)
        node.converge(NOTHING)
        assert node.state() == original, f"after a kill behind: {describe(steps[number - 1])}"
        number_tried += 1
    tried(number_tried)
    print(f"{name}: {number_tried} of {len(steps)} boundaries")
    assert node.journal.originals() == ()
