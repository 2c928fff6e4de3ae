"""Programs open and close VFs at random while the tool resizes, binds and restores: none is ever pulled from under one.

`VIRTFN_CONTESTED=1000` is the long way; by default a few dozen operations are tried.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from virtfn_host.core.address import PciAddress
from virtfn_host.core.model import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.plan import plan
from virtfn_host.core.resolve import resolve
from virtfn_host.core.steps import Outcome
from virtfn_host.linux.apply import Machine, apply
from virtfn_host.linux.custody import evidence
from virtfn_host.linux.inventory import read_inventory
from virtfn_host.linux.journal import Journal
from virtfn_host.linux.modules import Modprobe
from virtfn_host.linux.sysfs import Sysfs
from virtfn_host.linux.writer import MAX_CHILDREN, Answer, Writer

OPERATIONS = int(os.environ.get("VIRTFN_CONTESTED", "20"))
QUICK = ("bind", "unbind", "driver_override")
"""Attributes whose write takes milliseconds unless it is blocked; sriov_numvfs takes seconds by itself."""

COMPETITOR = Path(__file__).with_name("competitor.py")


class Timed(Writer):
    """Remembers how long the quick writes took."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0.0

    def write_each(
        self,
        writes: Sequence[tuple[os.PathLike[str] | str, str]],
        deadline: float,
        at_once: int = MAX_CHILDREN,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> list[Answer]:
        began = time.monotonic()
        answers = super().write_each(writes, deadline, at_once, meanwhile)
        if writes and Path(writes[0][0]).name in QUICK:
            self.longest = max(self.longest, time.monotonic() - began)
        return answers


@pytest.mark.timeout(3600)
def test_nothing_is_pulled_from_under_a_program(tmp_path: Path, tried: Callable[[int], None]) -> None:
    subprocess.run(["modprobe", "-a", "igb", "igbvf", "vfio-pci"], check=True)
    sysfs, writer, chance = Sysfs(), Timed(), random.Random(1)
    writer.write_all([("/dev/null", "x")] * 16, 60)  # starting its children takes seconds in an emulated machine
    machine = Machine(sysfs=sysfs, writer=writer, journal=Journal(tmp_path / "journal.json"), modules=Modprobe())
    pf = next(p.address for p in read_inventory(sysfs).pfs if (p.vendor, p.device) == ("8086", "10c9"))
    competitors = [
        subprocess.Popen([sys.executable, str(COMPETITOR), str(pf), str(seed)], stdout=subprocess.PIPE, text=True)
        for seed in (1, 2)
    ]
    seen: Counter[str] = Counter()
    try:
        for _ in range(OPERATIONS):
            config = _asked(pf, chance)
            inventory = read_inventory(sysfs)
            made = plan(
                inventory, resolve(config, inventory, machine.journal.originals()).desired, evidence(sysfs, inventory)
            )
            report = apply(made, machine)
            seen["blocked in the plan"] += bool(made.blocked)
            for result in report.results:
                seen["steps done"] += result.outcome is Outcome.DONE
                if result.outcome is Outcome.FAILED:
                    seen[f"refused {result.reason}"] += 1
    finally:
        for competitor in competitors:
            competitor.terminate()
    for competitor in competitors:
        output, _ = competitor.communicate(timeout=30)
        held, pulled = output.split()[-2:]
        seen["times held"] += int(held)
        seen["pulled from under a program"] += int(pulled)
    print(f"{OPERATIONS} operations: {dict(seen)}; longest quick write {writer.longest:.3f} s")
    _end(machine, pf)
    tried(OPERATIONS)
    assert seen["pulled from under a program"] == 0
    assert writer.longest < 1.0
    assert seen["times held"] > 0
    assert seen["steps done"] > 0
    assert not any(reason.endswith("Stuck") for reason in seen)


def _asked(pf: PciAddress, chance: random.Random) -> NodeConfig:
    if chance.random() < 0.2:
        return NodeConfig(policies=())
    pool = PoolRequest(resource_name="a.b/x", indexes=None, driver=chance.choice(["vfio-pci", "vfio-pci", "kernel"]))
    policy = PolicyConfig(
        name="x",
        uid="u",
        generation=1,
        devices=(DeviceMatcher(address=pf),),
        count=chance.choice([3, 7, 7, None]),
        pools=(pool,),
    )
    return NodeConfig(policies=(policy,))


def _end(machine: Machine, pf: PciAddress) -> None:
    machine.writer.close()
    folder = Path(f"/sys/bus/pci/devices/{pf}")
    (folder / "sriov_numvfs").write_text("0")
    (folder / "sriov_drivers_autoprobe").write_text("1")
